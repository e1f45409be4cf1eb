package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"

	"github.com/google/uuid"

	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/secret"
)

// Account is an account in the User Center.
type Account struct {
	Email    string
	Password secret.Text
}

const (
	passwordLength   = 32
	passwordAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// NewAccount invents an account: <random uuid>@<domain>, and a random password of 32 characters (190 bits).
func NewAccount(domain string) (Account, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return Account{}, err
	}
	password := make([]byte, passwordLength)
	for i := range password {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(passwordAlphabet))))
		if err != nil {
			return Account{}, err
		}
		password[i] = passwordAlphabet[n.Int64()]
	}
	return Account{Email: id.String() + "@" + domain, Password: secret.New(string(password))}, nil
}

// AccountAPI is what is asked of Gini for accounts.
type AccountAPI interface {
	TokenAPI
	CreateUser(ctx context.Context, email string, password secret.Text) (userID string, err error)
	User(ctx context.Context, id string) (gini.User, error)
	TokenUser(ctx context.Context, token secret.Text) (userID string, err error)
}

var (
	// ErrAccountRejected says that Gini neither logs the account in nor makes it.
	ErrAccountRejected = errors.New("account rejected")
	// ErrAccountLost says that Gini does not know an account that it made.
	ErrAccountLost = errors.New("account lost")
)

// Made is an account that is known to exist.
type Made struct {
	// UserID is Gini's id for it; empty where Gini did not tell.
	UserID string
	// Created is whether it was made just now.
	Created bool
	// Grant is of the login that proved it; nil where none was needed.
	Grant *gini.Grant
}

// EnsureAccount makes the account unless it exists. untried is true where nobody can have asked Gini for it before; else
// the account may have been made by a request whose answer was lost, which a login tells.
//
// Gini's 400 looks the same for an e-mail address that exists and for bad input: again a login tells.
func EnsureAccount(ctx context.Context, api AccountAPI, account Account, untried bool) (Made, error) {
	if !untried {
		made, err := found(ctx, api, account)
		if gini.KindOf(err) != gini.GrantRejected {
			return made, err
		}
	}
	id, err := api.CreateUser(ctx, account.Email, account.Password)
	if err == nil {
		return Made{UserID: id, Created: true}, nil
	}
	if gini.KindOf(err) != gini.Invalid {
		return Made{}, err
	}
	made, loginErr := found(ctx, api, account)
	if gini.KindOf(loginErr) == gini.GrantRejected {
		return Made{}, errors.Join(ErrAccountRejected, err)
	}
	return made, loginErr
}

// found logs in to an account that may exist, and learns its id where Gini tells it.
func found(ctx context.Context, api AccountAPI, account Account) (Made, error) {
	grant, err := api.PasswordLogin(ctx, account.Email, account.Password)
	if err != nil {
		return Made{}, err
	}
	return Made{UserID: UserIDOf(ctx, api, grant.AccessToken), Grant: &grant}, nil
}

// UserIDOf asks Gini whose token it is; "" where Gini does not tell: the request is not to be relied on.
func UserIDOf(ctx context.Context, api AccountAPI, token secret.Text) string {
	id, err := api.TokenUser(ctx, token)
	if err != nil {
		return ""
	}
	return id
}

// ExplainRejection finds out why Gini refuses the password of an account that exists: ErrAccountLost only where Gini
// answers 404 for its id to the client that made it, ErrAccountRejected where it does not.
func ExplainRejection(ctx context.Context, api AccountAPI, userID string, rejection error) error {
	if userID == "" {
		return errors.Join(ErrAccountRejected, rejection)
	}
	_, err := api.User(ctx, userID)
	switch {
	case err == nil:
		return errors.Join(ErrAccountRejected, rejection)
	case gini.KindOf(err) == gini.NotFound:
		return errors.Join(ErrAccountLost, err)
	default:
		return err
	}
}
