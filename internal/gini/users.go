package gini

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/transport"
)

// User is an anonymous user's account, as the User Center describes it.
type User struct {
	ID    string
	Email string // empty where the answer has none
}

// UserChange is what ChangeUser changes: the password, the e-mail, or both, each with the value that holds now.
type UserChange struct {
	OldPassword, Password secret.Text // both or none; at least 6 characters
	OldEmail, Email       string      // both or none
}

// CreateUser makes an anonymous user's account: POST /api/users at the User Center with the client token (Gini Pay API
// documentation, "Untrusted device, anonymous user"). It returns the new user's id, or none where the answer's
// Location does not give it: the account exists all the same. 400 is Invalid, and does not tell whether the e-mail
// exists already or is not liked. After a failure without an answer (Timeout, Unreachable, Canceled) or with
// Unavailable the account may exist: a login finds out.
func (c *Client) CreateUser(ctx context.Context, email string, password secret.Text) (userID string, err error) {
	if problem := accountProblem(email, password); problem != "" {
		return "", notSent(OperationCreateUser, "the account:", problem)
	}
	got, err := c.asClient(ctx, request{
		operation: OperationCreateUser,
		method:    http.MethodPost,
		url:       c.userCenter.JoinPath("api", "users"),
		accept:    "application/json",
		body:      jsonBody(map[string]string{"email": email, "password": password.Reveal()}),
		refusals:  refusals{unauthorized: CredentialsRejected},
	})
	if err != nil {
		return "", err
	}
	return createdUser(got.Header.Get("Location")), nil
}

// createdUser takes the id from …/users/{id}; nothing else of the URL is used, so its host does not matter.
func createdUser(location string) string {
	parsed, err := url.Parse(location)
	if err != nil {
		return ""
	}
	rest, id := splitLast(strings.TrimSuffix(parsed.Path, "/"))
	if _, parent := splitLast(rest); parent != "users" || !plainID(id) {
		return ""
	}
	return id
}

func splitLast(path string) (rest, last string) {
	at := strings.LastIndexByte(path, '/')
	return path[:max(at, 0)], path[at+1:]
}

// User looks at an account: GET /api/users/{id} at the User Center with the client token (Gini Pay API documentation).
// NotFound says that there is none by that id, to this client.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	if !plainID(id) {
		return User{}, notSent(OperationUser, "the user id", "is not one")
	}
	user := User{ID: id}
	_, err := c.asClient(ctx, request{
		operation: OperationUser,
		method:    http.MethodGet,
		url:       c.userCenter.JoinPath("api", "users", id),
		accept:    "application/json",
		refusals:  refusals{unauthorized: TokenRejected, notFound: NotFound},
		read: func(got answer) string {
			fields, ok := transport.ParseObject(got.Body)
			if !ok {
				return "not a JSON object"
			}
			if answered, ok := fields.Text("id"); ok && plainID(answered) {
				user.ID = answered
			}
			if email, ok := fields.Text("email"); ok && InputProblem(email, maxInput) == "" {
				user.Email = email
			}
			return ""
		},
	})
	if err != nil {
		return User{}, err
	}
	return user, nil
}

// ChangeUser changes an account's password or e-mail: PUT /api/users/{id} at the User Center with the client token
// (Gini Pay API documentation). Where no answer came, either the old or the new value holds.
func (c *Client) ChangeUser(ctx context.Context, id string, change UserChange) error {
	if !plainID(id) {
		return notSent(OperationChangeUser, "the user id", "is not one")
	}
	fields := map[string]string{}
	for _, field := range []struct{ oldName, oldValue, name, value string }{
		{"oldPassword", change.OldPassword.Reveal(), "password", change.Password.Reveal()},
		{"oldEmail", change.OldEmail, "email", change.Email},
	} {
		if field.oldValue == "" && field.value == "" {
			continue
		}
		if problem := cmp.Or(InputProblem(field.oldValue, maxInput), InputProblem(field.value, maxInput)); problem != "" {
			return notSent(OperationChangeUser, field.oldName+" or "+field.name, problem)
		}
		fields[field.oldName], fields[field.name] = field.oldValue, field.value
	}
	if len(fields) == 0 {
		return notSent(OperationChangeUser, "the change", "is empty")
	}
	_, err := c.asClient(ctx, request{
		operation: OperationChangeUser,
		method:    http.MethodPut,
		url:       c.userCenter.JoinPath("api", "users", id),
		accept:    "application/json",
		body:      jsonBody(fields),
		refusals:  refusals{unauthorized: TokenRejected, notFound: NotFound},
	})
	return err
}

// TokenUser returns the id of the user that an access token is for: GET /oauth/check_token at the User Center. Gini's
// own clients used it until 2024; it is not documented, so take it as a hint: a refusal of any kind is TokenRejected
// or NotFound and says nothing about the client.
func (c *Client) TokenUser(ctx context.Context, token secret.Text) (userID string, err error) {
	if !isToken(token.Reveal()) {
		return "", notSent(OperationTokenUser, "the token", "is not one")
	}
	endpoint := c.userCenter.JoinPath("oauth", "check_token")
	endpoint.RawQuery = url.Values{"token": {token.Reveal()}}.Encode() // Gini's tokens hold +, / and =
	_, err = c.exchange(ctx, request{
		operation: OperationTokenUser,
		method:    http.MethodGet,
		url:       endpoint,
		accept:    "application/json",
		auth:      c.basic(),
		refusals:  refusals{unauthorized: TokenRejected, invalid: TokenRejected, notFound: NotFound},
		read: func(got answer) string {
			fields, ok := transport.ParseObject(got.Body)
			if !ok {
				return "not a JSON object"
			}
			name, ok := fields.Text("user_name")
			if !ok || !plainID(name) {
				return "no usable user_name"
			}
			userID = name
			return ""
		},
	})
	return userID, err
}

func accountProblem(email string, password secret.Text) string {
	if problem := InputProblem(email, maxInput); problem != "" {
		return "its e-mail " + problem
	}
	if problem := InputProblem(password.Reveal(), maxInput); problem != "" {
		return "its password " + problem
	}
	return ""
}
