package registry

import (
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/gini-operator/gini-operator/api/v1alpha1"
	"github.com/gini-operator/gini-operator/internal/gini"
	"github.com/gini-operator/gini-operator/internal/problem"
)

// named is a field of a GiniClient that says where a host is, and whether it is set.
type named struct {
	field string
	set   bool
}

// endpoints are the GiniClient's, those that are used each on an allowed host. The User Center is where anonymous users have their
// accounts: a client that has none may not be allowed to speak to it, and then never does (see gini.Config.AllowHost).
func (r *Registry) endpoints(giniClient *api.GiniClient) (gini.Endpoints, error) {
	payAPI, userCenter, mediaType := api.DefaultPayAPIURL, api.DefaultUserCenterURL, api.DefaultMediaType
	atPayAPI, atUserCenter := named{field: "spec.endpoints.payAPI.url"}, named{field: "spec.endpoints.userCenter.url"}
	if spec := giniClient.Spec.Endpoints; spec != nil {
		if spec.PayAPI != nil {
			payAPI, atPayAPI.set = spec.PayAPI.URL, true
			if spec.PayAPI.MediaType != "" {
				mediaType = spec.PayAPI.MediaType
			}
		}
		if spec.UserCenter != nil {
			userCenter, atUserCenter.set = spec.UserCenter.URL, true
		}
	}
	endpoints, name := gini.Endpoints{MediaType: mediaType}, client.ObjectKeyFromObject(giniClient)
	parsed, err := gini.ParseEndpoint(payAPI, true)
	if endpoints.PayAPI, err = r.allowed(name, atPayAPI, parsed, err); err != nil {
		return gini.Endpoints{}, err
	}
	parsed, err = gini.ParseEndpoint(userCenter, true)
	if err == nil && giniClient.Spec.AnonymousUsers == nil {
		endpoints.UserCenter = parsed
		return endpoints, nil
	}
	if endpoints.UserCenter, err = r.allowed(name, atUserCenter, parsed, err); err != nil {
		return gini.Endpoints{}, err
	}
	return endpoints, nil
}

// allowed is a URL that credentials may be sent to, or the problem that it is none. What is told of it is its host only: a URL may hold a password.
func (r *Registry) allowed(name types.NamespacedName, at named, parsed *url.URL, err error) (*url.URL, error) {
	found := problem.New(api.ReasonHostNotAllowed, name)
	const notAllowed = "Host %s://%s (%s) is not in the operator's --allowed-hosts. %s %s, or add the host."
	switch {
	case err != nil:
		return nil, found.Saying(at.field +
			" is no URL that credentials can be sent to. Write it as https://host, with a port and a path where they are needed.")
	case r.Allowed.Allow(parsed):
		return parsed, nil
	case at.set:
		return nil, found.Saying(fmt.Sprintf(notAllowed, parsed.Scheme, parsed.Host, at.field, "Correct", at.field))
	default:
		byDefault := "default of " + strings.TrimSuffix(at.field, ".url")
		return nil, found.Saying(fmt.Sprintf(notAllowed, parsed.Scheme, parsed.Host, byDefault, "Set", at.field))
	}
}
