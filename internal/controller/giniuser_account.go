package controller

import (
	"bytes"
	"context"
	"errors"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/credential"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/problem"
	"github.com/gini-operator/gini-operator/internal/secret"
	"github.com/gini-operator/gini-operator/internal/target"
)

// Keys of an account Secret.
const (
	accountEmail      = "email"
	accountPassword   = "password"
	accountUserID     = "user_id"
	accountClientID   = "client_id"
	accountUserCenter = "user_center"
	accountPrevious   = "previous_"
)

// accountDevice is the value of the label device of an account Secret.
const accountDevice = "account"

// storedAccount is an account Secret as it was read.
type storedAccount struct {
	object  *corev1.Secret
	account credential.Account
	// userID, clientID and userCenter are of the account that was made; empty while none is known to be.
	userID, clientID, userCenter string
}

func managed(s *scope) bool {
	return s.user.Spec.Anonymous.AccountSecret.Mode != api.ExistingAccount
}

func accountName(s *scope) string { return string(s.user.Spec.Anonymous.AccountSecret.Name) }

// claimAccount makes sure that one account Secret is one GiniUser's: that which it was made for, else the older one's.
func (r *GiniUserReconciler) claimAccount(ctx context.Context, s *scope) error {
	var users api.GiniUserList
	if err := r.Reader.List(ctx, &users, client.InNamespace(s.user.Namespace), client.MatchingFields{indexAccount: accountName(s)}); err != nil {
		return err
	}
	made := "" // the GiniUser that the Secret was made for, if any
	if s.accountMeta != nil && s.accountMeta.Labels[api.DeviceLabel] == accountDevice {
		made = s.accountMeta.Labels[api.UserLabel]
	}
	if made == s.user.Name {
		return nil
	}
	for i := range users.Items {
		if other := &users.Items[i]; other.UID != s.user.UID && (other.Name == made || older(other, s.user)) {
			return problem.New(api.ReasonAccountInUse, accountName(s), other.Name)
		}
	}
	return nil
}

// checkAccount finds an account Secret that is absent or somebody else's, by its metadata.
func (r *GiniUserReconciler) checkAccount(ctx context.Context, s *scope) error {
	switch {
	case !s.anonymous():
		return nil
	case s.accountMeta == nil && !managed(s):
		return problem.New(api.ReasonAccountSecretNotFound, accountName(s))
	case s.accountMeta == nil && accountKnown(s):
		// A cache that lags looks the same as a Secret that is gone.
		live, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: accountName(s)})
		if err != nil {
			return err
		}
		if live == nil {
			return problem.New(api.ReasonAccountSecretMissing, accountName(s))
		}
		s.accountMeta = metadataOf(live)
	case s.accountMeta != nil && managed(s) && !isAccountOf(s.accountMeta, s.user.Name):
		return problem.New(api.ReasonAccountSecretConflict, accountName(s))
	}
	return nil
}

// accountRejected is the problem that Gini refuses an account, with what looks odd about the account: its Secret may be one that people filled.
func accountRejected(s *scope, err error) error {
	found := problem.New(api.ReasonAccountRejected, accountName(s)).Because(err)
	odd := secret.Remark(
		secret.Named{Name: "the e-mail address", Value: s.account.Email}, secret.Named{Name: "the password", Value: s.account.Password.Reveal()},
	)
	if odd == "" {
		return found
	}
	return found.Saying(found.Message() + "; what looks odd: " + odd)
}

// accountKnown reports whether the status knows of an account that was made.
func accountKnown(s *scope) bool {
	known := s.user.Status.Account
	return s.user.Status.UserID != "" || (known != nil && known.ClientID != "")
}

// isAccountOf reports whether a Secret was made for the account of a GiniUser of that name: another one must not get at its documents. A copy was not.
func isAccountOf(object metav1.Object, name string) bool {
	labels := object.GetLabels()
	return labels[api.ManagedByLabel] == api.ManagedByValue && labels[api.DeviceLabel] == accountDevice && labels[api.UserLabel] == name &&
		!target.BoundElsewhere(object, name)
}

// readAccount reads the account Secret from the API server; nil where there is none.
func (r *GiniUserReconciler) readAccount(ctx context.Context, s *scope) (*storedAccount, error) {
	object, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.user.Namespace, Name: accountName(s)})
	if err != nil || object == nil {
		return nil, err
	}
	if managed(s) && !isAccountOf(object, s.user.Name) {
		return nil, problem.New(api.ReasonAccountSecretConflict, accountName(s))
	}
	email, password := string(object.Data[accountEmail]), string(object.Data[accountPassword])
	if !credentialText(email) || !credentialText(password) {
		return nil, problem.New(api.ReasonAccountSecretInvalid, accountName(s))
	}
	stored := &storedAccount{
		object: object, account: credential.Account{Email: email, Password: secret.New(password)},
		userID:     userIDFrom(object.Data[accountUserID]),
		clientID:   string(object.Data[accountClientID]),
		userCenter: string(object.Data[accountUserCenter]),
	}
	if known := s.user.Status.Account; !managed(s) && known != nil {
		stored.clientID, stored.userCenter = known.ClientID, known.UserCenter
		if stored.userID == "" {
			stored.userID = s.user.Status.UserID
		}
	}
	return stored, nil
}

// userIDFrom takes an account's id as it stands in a Secret, where it can be one: it goes into the status.
func userIDFrom(value []byte) string {
	if len(value) > 128 || bytes.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return string(value)
}

func credentialText(text string) bool {
	if text == "" || len(text) > 1024 || !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}

// ensureAccount sees to it that the account of an anonymous user exists. The e-mail address and the password stand in the
// account Secret before the account is made, so that whatever dies when, one GiniUser is at most one account.
func (r *GiniUserReconciler) ensureAccount(ctx context.Context, s *scope) error {
	if !s.anonymous() || !s.untrusted.due() {
		return nil
	}
	stored, err := r.readAccount(ctx, s)
	if err != nil {
		return err
	}
	untried := false
	if stored == nil {
		if stored, err = r.inventAccount(ctx, s); err != nil {
			return err
		}
		untried = true
	}
	s.account, s.accountMeta = stored.account, metadataOf(stored.object)
	if !managed(s) && s.otherAccount(stored) { // another account was brought along
		s.user.Status.UserID, s.user.Status.Account = "", nil
		return nil
	}
	if stored.clientID != "" {
		if stored.clientID != s.application.ClientID || stored.userCenter != s.application.UserCenter {
			return problem.New(api.ReasonAccountOfAnotherClient, accountName(s), clientKey(s.user))
		}
		r.rememberAccount(s, stored)
		return nil
	}
	if !managed(s) {
		return nil // the login tells whether it exists
	}
	return r.makeAccount(ctx, s, stored, untried)
}

// otherAccount reports whether the token in the Secret is of another e-mail address.
func (s *scope) otherAccount(stored *storedAccount) bool {
	if !s.untrusted.readable {
		return false
	}
	subject := s.subject(stored.account.Email)
	return subject.Hash() != subject.SameUser(s.untrusted.record.IssuedFor)
}

// inventAccount writes a new e-mail address and password into a new account Secret.
func (r *GiniUserReconciler) inventAccount(ctx context.Context, s *scope) (*storedAccount, error) {
	if !managed(s) {
		return nil, problem.New(api.ReasonAccountSecretNotFound, accountName(s))
	}
	if accountKnown(s) {
		return nil, problem.New(api.ReasonAccountSecretMissing, accountName(s))
	}
	account, err := credential.NewAccount(s.giniClient.Spec.AnonymousUsers.EmailDomain)
	if err != nil {
		return nil, err
	}
	object := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: accountName(s), Namespace: s.user.Namespace,
			Labels: map[string]string{api.ManagedByLabel: api.ManagedByValue, api.UserLabel: s.user.Name, api.DeviceLabel: accountDevice},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{accountEmail: []byte(account.Email), accountPassword: []byte(account.Password.Reveal())},
	}
	target.Bind(object, s.user.Name)
	if err := r.Secrets.Create(ctx, object); err != nil {
		return nil, notWritten(err, accountName(s))
	}
	r.memory.wrote(s.key(), accountName(s), object.ResourceVersion)
	return &storedAccount{object: object, account: account}, nil
}

// makeAccount makes the account at Gini, unless a request whose answer was lost has made it already, and notes in the
// account Secret whose it is.
func (r *GiniUserReconciler) makeAccount(ctx context.Context, s *scope, stored *storedAccount, untried bool) error {
	made, err := r.ensureMade(ctx, s, stored, untried)
	if errors.Is(err, credential.ErrAccountRejected) {
		s.asked, s.gini = true, err
		return r.rejectedAtFirst(ctx, s, stored, untried, err)
	}
	if err = r.ask(ctx, s, err); err != nil {
		return err
	}
	stored.userID, stored.clientID, stored.userCenter = userIDFrom([]byte(made.UserID)), s.application.ClientID, s.application.UserCenter
	object := stored.object.DeepCopy()
	object.Data[accountClientID] = []byte(stored.clientID)
	object.Data[accountUserCenter] = []byte(stored.userCenter)
	if stored.userID != "" {
		object.Data[accountUserID] = []byte(stored.userID)
	}
	if err := r.updateAccount(ctx, s, stored, object); err != nil {
		if !apierrors.IsConflict(err) {
			return err
		}
		noted, err := r.notedBeside(ctx, s, stored)
		if err != nil {
			return err
		}
		stored = noted
	}
	r.memory.keepAccount(s.key(), nil)
	r.rememberAccount(s, stored)
	s.grant = made.Grant
	if made.Created {
		s.tell(false, api.ReasonAccountCreated, "CreateAccount", "Made an account at Gini for account Secret "+accountName(s))
	}
	return nil
}

// notedBeside is the account Secret where another operator has noted the same account there meanwhile. The login that has just proved it
// may have ended the token which that operator got, and must not be lost.
func (r *GiniUserReconciler) notedBeside(ctx context.Context, s *scope, stored *storedAccount) (*storedAccount, error) {
	noted, err := r.readAccount(ctx, s)
	switch {
	case err != nil:
		return nil, err
	case noted == nil, noted.account.Email != stored.account.Email, !noted.account.Password.Equal(stored.account.Password),
		noted.clientID != stored.clientID, noted.userCenter != stored.userCenter:
		return nil, errBehind
	}
	s.accountMeta = metadataOf(noted.object)
	return noted, nil
}

// rejectedAtFirst tells why Gini neither makes an account nor logs it in. An e-mail address that was invented just now,
// or that was refused in the same way before, cannot exist at Gini: it is its domain that is refused. Where that domain has been
// changed since, another address takes its place.
func (r *GiniUserReconciler) rejectedAtFirst(ctx context.Context, s *scope, stored *storedAccount, untried bool, err error) error {
	attempt := s.user.Status.Attempt
	neverMade := untried || (attempt != nil && attempt.Reason == api.ReasonEmailDomainRefused)
	if !neverMade {
		return accountRejected(s, err)
	}
	domain := s.giniClient.Spec.AnonymousUsers.EmailDomain
	if !untried && !hasDomain(stored.account.Email, domain) {
		if err = r.replaceAccount(ctx, s, stored, false); err != nil {
			return err
		}
		return r.makeAccount(ctx, s, stored, true)
	}
	return problem.New(api.ReasonEmailDomainRefused, accountName(s), clientKey(s.user)).Because(err)
}

func hasDomain(email, domain string) bool {
	at := len(email) - len(domain)
	return at > 0 && email[at-1] == '@' && email[at:] == domain
}

// replaceAccount writes another e-mail address and password into the account Secret, and keeps the old ones where they
// were an account's.
func (r *GiniUserReconciler) replaceAccount(ctx context.Context, s *scope, stored *storedAccount, keep bool) error {
	account, err := credential.NewAccount(s.giniClient.Spec.AnonymousUsers.EmailDomain)
	if err != nil {
		return err
	}
	object := stored.object.DeepCopy()
	if keep {
		for _, key := range []string{accountEmail, accountPassword, accountUserID, accountClientID, accountUserCenter} {
			if value, ok := object.Data[key]; ok {
				object.Data[accountPrevious+key] = value
			}
		}
	}
	for _, key := range []string{accountUserID, accountClientID, accountUserCenter} {
		delete(object.Data, key)
	}
	object.Data[accountEmail], object.Data[accountPassword] = []byte(account.Email), []byte(account.Password.Reveal())
	if err := r.updateAccount(ctx, s, stored, object); err != nil {
		return err
	}
	*stored = storedAccount{object: stored.object, account: account}
	s.account = account
	s.user.Status.UserID, s.user.Status.Account = "", nil
	return nil
}

// updateAccount writes the account Secret as it was read and changed; somebody else's change meanwhile is a conflict, after which everything is looked at anew.
func (r *GiniUserReconciler) updateAccount(ctx context.Context, s *scope, stored *storedAccount, object *corev1.Secret) error {
	target.Bind(object, s.user.Name)
	if err := r.Secrets.Update(ctx, object); err != nil {
		if apierrors.IsConflict(err) {
			return err
		}
		return notWritten(err, accountName(s))
	}
	r.memory.wrote(s.key(), accountName(s), object.ResourceVersion)
	stored.object, s.accountMeta = object, metadataOf(object)
	return nil
}

// rememberAccount notes in the status whose account it is.
func (r *GiniUserReconciler) rememberAccount(s *scope, stored *storedAccount) {
	s.user.Status.UserID = stored.userID
	s.user.Status.Account = &api.AccountStatus{
		ClientID: stored.clientID, UserCenter: stored.userCenter, SecretResourceVersion: stored.object.ResourceVersion,
	}
}

func metadataOf(object *corev1.Secret) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: object.ObjectMeta}
}

// loginAnonymous logs in with the account's password. Where Gini refuses that, it is asked whether it still knows the account.
func (r *GiniUserReconciler) loginAnonymous(ctx context.Context, s *scope, held string, insist bool) (credential.Renewal, error) {
	if grant := s.grant; grant != nil && !insist { // the login that proved the account
		s.grant = nil
		return credential.Renewal{
			Grant: *grant, Sticky: grant.AccessToken.Fingerprint() == held, Replaced: grant.AccessToken.Fingerprint() != held,
		}, nil
	}
	if lost := r.lostBefore(s); lost != nil {
		return r.recreateAccount(ctx, s, lost)
	}
	login := credential.AnonymousPassword{Email: s.account.Email, Password: s.account.Password}
	renewed, err := credential.Renew(ctx, s.application.Gini, login, held, insist)
	if gini.KindOf(err) != gini.GrantRejected {
		s.twice = operationOf(err) == gini.OperationClientToken // after a login that was refused in the same way
		if failed := r.ask(ctx, s, err); failed != nil {
			return credential.Renewal{}, failed
		}
		r.rememberExisting(ctx, s, renewed.Grant.AccessToken)
		return renewed, nil
	}
	s.asked, s.gini = true, err
	if s.user.Status.Account == nil {
		return credential.Renewal{}, accountRejected(s, err)
	}
	err = credential.ExplainRejection(ctx, s.application.Gini, s.user.Status.UserID, err)
	switch {
	case errors.Is(err, credential.ErrAccountRejected):
		return credential.Renewal{}, accountRejected(s, err)
	case errors.Is(err, credential.ErrAccountLost):
		return r.recreateAccount(ctx, s, err)
	default:
		return credential.Renewal{}, r.ask(ctx, s, err)
	}
}

// rememberExisting notes whose an account is that was brought along, once a login has shown that it exists. Gini may not tell its id,
// and is asked once in the life of an operator.
func (r *GiniUserReconciler) rememberExisting(ctx context.Context, s *scope, token secret.Text) {
	if s.user.Status.Account != nil && (managed(s) || s.user.Status.UserID != "" || !r.memory.isFirstSearch(s.key())) {
		return
	}
	stored, err := r.readAccount(ctx, s)
	if err != nil || stored == nil {
		return // noted at the next login
	}
	stored.clientID, stored.userCenter = s.application.ClientID, s.application.UserCenter
	if stored.userID == "" {
		stored.userID = userIDFrom([]byte(credential.UserIDOf(ctx, s.application.Gini, token)))
	}
	r.rememberAccount(s, stored)
}

// errAccountChanged says that the account Secret holds another account than a moment ago.
var errAccountChanged = errors.New("the account Secret was changed meanwhile")

// recreateAccount makes another account in place of one that Gini no longer knows, where the client says so.
func (r *GiniUserReconciler) recreateAccount(ctx context.Context, s *scope, lost error) (credential.Renewal, error) {
	if !managed(s) || s.giniClient.Spec.AnonymousUsers.OnAccountLost == api.StallOnLostAccount {
		return credential.Renewal{}, problem.New(api.ReasonAccountLost, accountName(s)).Because(lost)
	}
	stored, err := r.readAccount(ctx, s)
	if err != nil {
		return credential.Renewal{}, err
	}
	if stored == nil {
		return credential.Renewal{}, problem.New(api.ReasonAccountSecretMissing, accountName(s)).Because(lost)
	}
	if stored.account.Email != s.account.Email { // another operator may have made another account: everything is looked at anew
		return credential.Renewal{}, errAccountChanged
	}
	before := s.accountHolder(stored.account)
	if err = r.replaceAccount(ctx, s, stored, true); err != nil {
		r.memory.keepAccount(s.key(), &keptAccount{holder: before, lost: lost})
		return credential.Renewal{}, err
	}
	s.tell(true, api.ReasonAccountRecreated, "RecreateAccount",
		"Gini no longer knows the account in Secret "+accountName(s)+": another is made; the old one's keys are kept as previous_*")
	if err = r.makeAccount(ctx, s, stored, true); err != nil {
		return credential.Renewal{}, err
	}
	login := credential.AnonymousPassword{Email: s.account.Email, Password: s.account.Password}
	renewed, err := credential.Renew(ctx, s.application.Gini, login, "", false)
	return renewed, r.ask(ctx, s, err)
}
