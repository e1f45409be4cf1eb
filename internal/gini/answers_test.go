package gini

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"testing"
)

const mark = "\xef\xbb\xbf"

func gzipped(t *testing.T, content string) string {
	t.Helper()
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

// TestAnswersOfOtherForms: what is compressed, or begins with a byte-order mark, is read all the same, whatever is asked.
func TestAnswersOfOtherForms(t *testing.T) {
	forms := map[string]func(status int, body string) http.HandlerFunc{
		"mark": func(status int, body string) http.HandlerFunc { return says(status, mark+body) },
		"gzip": func(status int, body string) http.HandlerFunc {
			return says(status, gzipped(t, mark+body), "Content-Encoding", "gzip")
		},
	}
	for form, answers := range forms {
		t.Run(form, func(t *testing.T) {
			server := serve(t, script{
				askClient: answers(200, goodClient), askLogin: answers(200, goodGrant), askPassword: answers(400, `{"error":"invalid_grant"}`),
				askUser: answers(200, `{"id":"`+testUserID+`","email":"`+testEmail+`"}`), askCheck: answers(200, `{"user_name":"`+testUserID+`"}`),
				askChange: answers(404, `{"error":"not_found"}`),
			})
			client := clientOf(t, server.URL)
			if grant, err := client.Login(bounded(t), testIdentifier); err != nil || grant.AccessToken.Reveal() != testToken {
				t.Errorf("login: %v", err)
			}
			wantKind(t, calls[OperationPasswordLogin](bounded(t), client), GrantRejected)
			if user, err := client.User(bounded(t), testUserID); err != nil || user.Email != testEmail {
				t.Errorf("user %+v, %v", user, err)
			}
			if id, err := client.TokenUser(bounded(t), secretOf("access token")); err != nil || id != testUserID {
				t.Errorf("user of the token %q, %v", id, err)
			}
			wantKind(t, calls[OperationChangeUser](bounded(t), client), NotFound)
		})
	}
}

// TestAnswersThatCannotBeRead are told of as such: an account is not lost by one, and a wrong secret is one all the same.
func TestAnswersThatCannotBeRead(t *testing.T) {
	const detail = "the body has a Content-Encoding that was not asked for and is not known here: let the server, or the proxy before it, send it without"
	in := func(status int) http.HandlerFunc { return says(status, "?", "Content-Encoding", "br") }
	for operation, c := range map[string]struct {
		status int
		want   string
	}{
		OperationLogin:            {200, "gini: login: unexpected answer: " + detail + " (status 200)"},
		OperationPasswordLogin:    {400, "gini: password login: unexpected answer: " + detail + " (status 400)"},
		OperationUser:             {404, "gini: get user: unexpected answer: " + detail + " (status 404)"},
		OperationDerivedDocuments: {401, "gini: derived documents: the client's credentials are rejected (status 401)"},
		OperationLoginJWT:         {503, "gini: login with a JWT: the server is not available (status 503)"},
		OperationDocuments:        {200, ""}, // nobody looks at it
	} {
		server := serve(t, script{askClient: says(200, goodClient), asks[operation]: in(c.status)})
		if got := textOf(calls[operation](bounded(t), clientOf(t, server.URL))); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestNamesOfFieldsAreExact, and what a program writes in place of a value is none.
func TestNamesOfFieldsAreExact(t *testing.T) {
	for _, answer := range []string{
		`{"ID":"other-id","Email":"other@acme.example"}`, `{"id":"null","email":"undefined"}`, `{"id":"a","id":"b","email":"a@b","email":"c@d"}`,
	} {
		server := serve(t, script{askClient: says(200, goodClient), askUser: says(200, answer)})
		if user, err := clientOf(t, server.URL).User(bounded(t), testUserID); err != nil || user != (User{ID: testUserID}) {
			t.Errorf("%s: %+v, %v", answer, user, err)
		}
	}
	for _, answer := range []string{`{"User_Name":"someone"}`, `{"user_name":"null"}`, `{"user_name":"a","user_name":"b"}`} {
		server := serve(t, script{askCheck: says(200, answer)})
		if id, err := clientOf(t, server.URL).TokenUser(bounded(t), secretOf("access token")); id != "" || KindOf(err) != Unexpected {
			t.Errorf("%s: %q, %v", answer, id, err)
		}
	}
	for location, want := range map[string]string{"/api/users/null": "", "/api/users/undefined": "", "/api/users/" + testUserID: testUserID} {
		server := serve(t, script{askClient: says(200, goodClient), askCreate: says(201, "", "Location", location)})
		if id, err := clientOf(t, server.URL).CreateUser(bounded(t), testEmail, secretOf("password")); err != nil || id != want {
			t.Errorf("%s: %q, %v", location, id, err)
		}
	}
	// The code of another field's refusal would make a lost account of it.
	server := serve(t, script{askPassword: says(400, `{"ERROR":"invalid_grant"}`)})
	wantKind(t, calls[OperationPasswordLogin](bounded(t), clientOf(t, server.URL)), Invalid)
}
