package problem_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/problem"
)

// constants are those of the API's conditions: the value of each by its name, and its comment.
func constants(t *testing.T) (values, comments map[string]string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "api", "v1alpha1", "conditions.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	values, comments = map[string]string{}, map[string]string{}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			literal, _ := spec.Values[i].(*ast.BasicLit)
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values[name.Name] = value
			comments[name.Name] = spec.Doc.Text()
		}
		return true
	})
	if len(values) < 40 {
		t.Fatalf("only %d constants", len(values))
	}
	return values, comments
}

// TestTable: every reason says what is wrong and what happens next, turns a condition of GiniUsers False, and is documented.
func TestTable(t *testing.T) {
	values, comments := constants(t)
	names := map[string]string{} // of the constants, by value
	for name, value := range values {
		if strings.HasPrefix(name, "Reason") {
			names[value] = name
		}
	}
	conditions := map[string]string{
		api.ConditionClientResolved: "ConditionClientResolved", api.ConditionAccountReady: "ConditionAccountReady", api.ConditionSecretsWritten: "ConditionSecretsWritten",
	}
	form := regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)
	for reason, reaction := range problem.Reasons() {
		t.Run(reason, func(t *testing.T) {
			if !form.MatchString(reason) {
				t.Error("no reason in the way of Kubernetes")
			}
			name, documented := names[reason]
			if !documented || !strings.HasPrefix(comments[name], name+": ") || name != "Reason"+reason {
				t.Errorf("constant %q with the comment %q", name, comments[name])
			}
			condition, known := conditions[reaction.Condition]
			if !known {
				t.Fatalf("condition %q", reaction.Condition)
			}
			if !regexp.MustCompile(`\b` + reason + `\b`).MatchString(comments[condition]) {
				t.Errorf("the comment of %s does not list it", condition)
			}
			if len(reaction.Message) < 40 || !strings.Contains(reaction.Message, "%") || strings.HasSuffix(reaction.Message, ".") {
				t.Errorf("message %q", reaction.Message)
			}
			if !slices.Contains([]problem.Retry{problem.Wait, problem.Stall, problem.Backoff, problem.WithClient}, reaction.Retry) {
				t.Errorf("retry %q", reaction.Retry)
			}
			if reaction.Retry == problem.WithClient && reaction.Event {
				t.Error("its client tells of it, and each of a thousand users too")
			}
		})
	}
	// And the comments list nothing that cannot be.
	for condition, name := range conditions {
		_, list, _ := strings.Cut(comments[name], "False:")
		list, _, _ = strings.Cut(list, "Unknown:")
		for _, word := range regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`).FindAllString(list, -1) {
			if reaction, ok := problem.Lookup(word); !ok || reaction.Condition != condition {
				t.Errorf("%s lists %s, which never turns it False", name, word)
			}
		}
	}
}

// call is one place where a problem is made.
type call struct {
	at     string
	reason string // name of the constant
	args   int
}

// calls are the places where problems are made: problem.New, and registry's missing, with a reason of the API, in all packages but
// this one; and variable are those whose reason is not a constant.
func calls(t *testing.T) (fixed []call, variable []string) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			expression, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			args := expression.Args
			switch function := expression.Fun.(type) {
			case *ast.SelectorExpr:
				if of, ok := function.X.(*ast.Ident); !ok || of.Name != "problem" || function.Sel.Name != "New" {
					return true
				}
			case *ast.Ident:
				if function.Name != "missing" || len(args) != 3 {
					return true
				}
				args = args[1:]
			default:
				return true
			}
			at := files.Position(expression.Pos()).String()
			if reason, ok := args[0].(*ast.SelectorExpr); ok && strings.HasPrefix(reason.Sel.Name, "Reason") {
				if expression.Ellipsis.IsValid() {
					t.Errorf("%s: cannot count arguments", at)
				}
				if of, ok := reason.X.(*ast.Ident); ok && of.Name == "api" {
					fixed = append(fixed, call{at, reason.Sel.Name, len(args) - 1})
					return true
				}
			}
			variable = append(variable, at)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fixed, variable
}

// TestMessages: at each place where a problem is made, the message has as many names as it asks for; and each reason has a place.
func TestMessages(t *testing.T) {
	values, _ := constants(t)
	fixed, variable := calls(t)
	made := problem.Reasons()
	for _, call := range fixed {
		reason := values[call.reason]
		if _, ok := problem.Lookup(reason); !ok {
			t.Errorf("%s: %s does not stand in the table", call.at, call.reason)
			continue
		}
		args := make([]any, call.args)
		for i := range args {
			args[i] = fmt.Sprintf("name-%d", i)
		}
		message := problem.New(reason, args...).Message()
		if strings.Contains(message, "%!") {
			t.Errorf("%s: %s", call.at, message)
		}
		for i := range args {
			if !strings.Contains(message, fmt.Sprintf("name-%d", i)) && !strings.Contains(message, "%!") {
				t.Errorf("%s: the message leaves out what it is given: %s", call.at, message)
			}
		}
		delete(made, reason)
	}
	// What requests end with is made here; see below.
	for _, kind := range []gini.Kind{gini.GrantRejected, gini.CredentialsRejected, gini.RateLimited, gini.Unavailable, gini.Unreachable, gini.TLS, gini.Timeout, gini.Unexpected} {
		delete(made, problem.FromGini(&gini.Error{Kind: kind}, "acme").Reason)
		delete(made, problem.FromProvider(&gini.Error{Kind: kind}, "acme").Reason)
	}
	delete(made, problem.FromGini(&gini.Error{Kind: gini.JWTRejected}, "acme").Reason)
	for _, reason := range absentReasons {
		delete(made, reason)
	}
	for _, reason := range slices.Sorted(maps.Keys(made)) {
		t.Errorf("nothing ever makes %s", reason)
	}
	// A user of another namespace is told no more than the client's reason, with the client's name, and so is who waits for a
	// Secret: see TestNamesOfClient.
	if len(variable) > 4 {
		t.Errorf("reasons that this test cannot see: %v", variable)
	}
}

// absentReasons are of Secrets that are not there, as internal/registry chooses them.
var absentReasons = []string{api.ReasonSigningKeyNotFound, api.ReasonIdentityProviderSecretNotFound}

// TestNamesOfClient: the reasons of a client need its name alone.
func TestNamesOfClient(t *testing.T) {
	for _, reason := range []string{
		api.ReasonHostNotAllowed, api.ReasonClientSecretNotFound, api.ReasonClientSecretInvalid, api.ReasonCABundleNotFound, api.ReasonCABundleInvalid,
		api.ReasonIdentityProviderNotConfigured, api.ReasonSigningKeyNotFound, api.ReasonSigningKeyInvalid, api.ReasonSigningKeySecretConflict,
		api.ReasonClaimsInvalid,
		api.ReasonIdentityProviderSecretNotFound, api.ReasonIdentityProviderSecretInvalid,
	} {
		if message := problem.New(reason, "payments/acme").Error(); strings.Contains(message, "%!") || !strings.Contains(message, "payments/acme") {
			t.Errorf("%s: %s", reason, message)
		}
	}
}

func TestFromGini(t *testing.T) {
	for kind, c := range map[gini.Kind]struct {
		reason     string
		withClient bool
	}{
		gini.JWTRejected:         {api.ReasonJWTRejected, true},
		gini.CredentialsRejected: {api.ReasonCredentialsRejected, true}, gini.RateLimited: {api.ReasonRateLimited, true},
		gini.Unreachable: {api.ReasonGiniUnreachable, true}, gini.TLS: {api.ReasonTLSFailure, true}, gini.Timeout: {api.ReasonGiniTimeout, true},
		gini.Unavailable: {api.ReasonGiniUnavailable, true}, gini.Unexpected: {api.ReasonUnexpectedResponse, true},
		gini.GrantRejected: {api.ReasonLoginRefused, false}, gini.TokenRejected: {api.ReasonLoginRefused, false},
		gini.Invalid: {api.ReasonLoginRefused, false}, gini.NotFound: {api.ReasonLoginRefused, false},
	} {
		t.Run(string(kind), func(t *testing.T) {
			answer := &gini.Error{Kind: kind, Operation: gini.OperationLogin, Status: 418, RequestID: "req-7", RetryAfter: 90 * time.Second}
			found := problem.FromGini(fmt.Errorf("wrapped: %w", answer), "payments/acme")
			if found == nil || found.Reason != c.reason || found.RetryAfter != 90*time.Second || !errors.Is(found, answer) {
				t.Fatalf("%+v", found)
			}
			if (found.Reaction().Retry == problem.WithClient) != c.withClient || c.withClient != gini.ClientLevel(kind) {
				t.Errorf("reaction %+v", found.Reaction())
			}
			if strings.Contains(found.Message(), "req-7") || !strings.Contains(found.Message(), "payments/acme") || strings.Contains(found.Message(), "%!") {
				t.Errorf("message %q: it must stay the same while the problem does", found.Message())
			}
			if !strings.Contains(found.Error(), "req-7") || !strings.Contains(found.Error(), "418") || !strings.HasPrefix(found.Error(), found.Message()) {
				t.Errorf("error %q", found.Error())
			}
			if c.withClient {
				if other := problem.Kind(kind, "payments/acme"); other.Reason != c.reason || other.Message() != found.Message() {
					t.Errorf("to those who wait it is %+v", other)
				}
			}
		})
	}
	for _, none := range []error{nil, context.Canceled, errors.New("x"), &gini.Error{Kind: gini.Canceled}} {
		if found := problem.FromGini(none, "acme"); found != nil {
			t.Errorf("%v is %+v", none, found)
		}
	}
}

// TestFromProvider: what all users of an identity provider suffer from is its client's, with words of its own.
func TestFromProvider(t *testing.T) {
	for kind, reason := range map[gini.Kind]string{
		gini.CredentialsRejected: api.ReasonIdentityProviderRejected, gini.RateLimited: api.ReasonIdentityProviderUnavailable,
		gini.Unavailable: api.ReasonIdentityProviderUnavailable, gini.Unreachable: api.ReasonIdentityProviderUnreachable,
		gini.TLS: api.ReasonIdentityProviderUnreachable, gini.Timeout: api.ReasonIdentityProviderUnreachable,
		gini.Unexpected: api.ReasonIdentityProviderUnexpected, gini.GrantRejected: api.ReasonJWTNotIssued, gini.Invalid: api.ReasonJWTNotIssued,
	} {
		found := problem.FromProvider(&gini.Error{Kind: kind, RetryAfter: time.Minute}, "payments/acme")
		if found == nil || found.Reason != reason || found.RetryAfter != time.Minute || strings.Contains(found.Error(), "%!") {
			t.Fatalf("%s: %+v", kind, found)
		}
		if withClient := found.Reaction().Retry == problem.WithClient; withClient != gini.ClientLevel(kind) {
			t.Errorf("%s: reaction %+v", kind, found.Reaction())
		} else if other := problem.ProviderKind(kind, "payments/acme"); withClient && other.Message() != found.Message() {
			t.Errorf("%s: to those who wait it is %+v", kind, other)
		}
	}
	for _, none := range []error{nil, context.Canceled, errors.New("x"), &gini.Error{Kind: gini.Canceled}} {
		if found := problem.FromProvider(none, "acme"); found != nil {
			t.Errorf("%v is %+v", none, found)
		}
	}
}

// TestBecause: what caused a problem is looked at by type, and never told unless it is vetted.
func TestBecause(t *testing.T) {
	cause := errors.New("password hunter2 was refused")
	found := problem.New(api.ReasonAccountRejected, "alice-account").Because(cause)
	if strings.Contains(found.Error(), "hunter2") || found.Error() != found.Message() || !errors.Is(found, cause) {
		t.Errorf("%q", found.Error())
	}
	if again, ok := problem.Of(fmt.Errorf("wrapped: %w", found)); !ok || again != found {
		t.Error("not found in an error")
	}
	if _, ok := problem.Of(cause); ok {
		t.Error("any error is a problem")
	}
}

// TestRecall: a problem that a status tells of has the same words and the same reaction.
func TestRecall(t *testing.T) {
	before := problem.New(api.ReasonNameClash, "alice-token", "100%d full")
	after := problem.Recall(before.Reason, before.Message())
	if after.Message() != before.Message() || after.Error() != before.Message() || after.Reaction() != before.Reaction() {
		t.Errorf("%q became %q", before.Message(), after.Message())
	}
}

func TestLookup(t *testing.T) {
	if _, ok := problem.Lookup(api.ReasonCredentialsReady); ok {
		t.Error("good news is a problem")
	}
	reasons := problem.Reasons()
	delete(reasons, api.ReasonConflict)
	if _, ok := problem.Lookup(api.ReasonConflict); !ok {
		t.Error("the table can be changed from outside")
	}
}
