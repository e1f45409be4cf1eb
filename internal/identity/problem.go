package identity

// Problem is why a private key cannot be used.
type Problem string

// Problems of private keys.
const (
	// KeyTooLarge: the text is longer than any key is.
	KeyTooLarge Problem = "KeyTooLarge"
	// KeyNotPEM: there is no PEM block in the text.
	KeyNotPEM Problem = "KeyNotPEM"
	// KeyNotPrivate: there are PEM blocks, such as a certificate or a public key, but no private key.
	KeyNotPrivate Problem = "KeyNotPrivate"
	// KeyEncrypted: the key has a passphrase.
	KeyEncrypted Problem = "KeyEncrypted"
	// KeyOpenSSH: the key is in the format of OpenSSH.
	KeyOpenSSH Problem = "KeyOpenSSH"
	// KeyMalformed: the PEM block does not hold a private key, or its numbers do not fit each other.
	KeyMalformed Problem = "KeyMalformed"
	// KeyWrongType: the key is of another type, or on another curve, than the algorithm needs.
	KeyWrongType Problem = "KeyWrongType"
	// KeyTooWeak: an RSA key of fewer than 2048 bits.
	KeyTooWeak Problem = "KeyTooWeak"
	// KeyTooLong: an RSA key of more than 8192 bits.
	KeyTooLong Problem = "KeyTooLong"
)

var problems = map[Problem]string{
	KeyTooLarge:   "the key is longer than 16 KiB: store one private key in PEM, and nothing else",
	KeyNotPEM:     "the key is not in PEM: store it with its lines -----BEGIN PRIVATE KEY----- and -----END PRIVATE KEY-----",
	KeyNotPrivate: "there is no private key, only something public such as a certificate: store the private key",
	KeyEncrypted:  "the key has a passphrase: store it without one, as openssl pkey writes it",
	KeyOpenSSH:    "the key is in the format of OpenSSH: convert it with ssh-keygen -p -m PKCS8",
	KeyMalformed:  "the key is damaged or of an unusual form: store it in PKCS#8, as openssl genpkey writes it",
	KeyTooWeak:    "the RSA key is shorter than 2048 bits: make one of 2048 bits or more",
	KeyTooLong:    "the RSA key is longer than 8192 bits: make one of 2048 to 8192 bits",
}

// KeyError says why a private key cannot be used. Its text is fit for people, and never holds anything of the key.
type KeyError struct {
	Problem Problem
	// Algorithm that the key was meant for; "" where any would have done.
	Algorithm Algorithm
}

// Error implements error: what is wrong, and what to do.
func (e *KeyError) Error() string {
	if e.Problem != KeyWrongType {
		return problems[e.Problem]
	}
	switch need, known := needs[e.Algorithm]; {
	case known:
		return "the key is of another type than " + string(e.Algorithm) + " needs: store " + need.key + ", or choose the key's own algorithm"
	case e.Algorithm == "":
		return "the key is of a type that no algorithm here signs with: store " + rsaInWords + ", or an EC key on the curve P-256 or P-384"
	default:
		return "the algorithm is unknown: choose RS256, RS384, RS512, ES256, ES384 or PS256"
	}
}
