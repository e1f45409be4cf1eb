// Package tokenfile is for programs in pods that use Gini: it reads the token that the operator keeps in a Secret, from the folder
// where the pod has that Secret mounted, and reads it again when the kubelet has put a new one there.
//
//	source, err := tokenfile.Open("/var/run/gini")
//	…
//	transport, err := tokenfile.NewTransport(source)
//	…
//	client := &http.Client{Transport: transport, Timeout: time.Minute}
//	res, err := client.Get("https://pay-api.gini.net/documents")
//
// A [Source] looks at the folder whenever it is asked, which costs some microseconds: no goroutine, nothing to close, nothing to miss. Token and
// expiry are always those of one write of the Secret. A [Transport] adds the token to requests for Gini, and to no others, and repeats a request
// once where Gini refuses the token and the folder holds another one by then. A Source is an oauth2.TokenSource as well.
//
// Nothing here prints a token: a [Token] is redacted in every format, and errors name files, never what is in them.
//
// Mount the Secret as a volume, without subPath: a file that is mounted by subPath never changes, and neither does an environment variable.
package tokenfile
