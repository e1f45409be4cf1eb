package gini

import (
	"strings"
	"testing"
)

func TestParseEndpoint(t *testing.T) {
	for raw, want := range map[string]string{
		DefaultPayAPI:                            "https://pay-api.gini.net",
		"https://user.gini.net/":                 "https://user.gini.net",
		"https://USER.Gini.net:8443":             "https://user.gini.net:8443",
		"https://proxy.acme.example/gini/pay/":   "https://proxy.acme.example/gini/pay",
		"https://proxy.acme.example/a%2Fb":       "https://proxy.acme.example/a%2Fb",
		"HTTPS://[::1]:8443/x":                   "https://[::1]:8443/x",
		"http://emulator.test:8080":              "", // only where it is said
		"ftp://user.gini.net":                    "",
		"user.gini.net":                          "",
		"//user.gini.net":                        "",
		"https://":                               "",
		"https://:443":                           "",
		"https://user.gini.net:":                 "",
		"https://user.gini.net:0":                "",
		"https://user.gini.net:65536":            "",
		"https://user.gini.net:x":                "",
		"https:user.gini.net":                    "",
		"https://MARK@user.gini.net":             "",
		"https://u:MARK@user.gini.net":           "",
		"https://user.gini.net/?":                "",
		"https://user.gini.net/?MARK=1":          "",
		"https://user.gini.net/#":                "",
		"https://user.gini.net/a/../MARK":        "",
		"https://user.gini.net/%2e%2e/MARK":      "",
		"https://[fe80::1%25eth0]/MARK":          "",
		"https://MARK gini.net":                  "",
		"https://user.gini.net/MARK\n":           "",
		"https://user.gini.net\\@MARK":           "",
		"https://uſer.gini.net":                  "",
		"https://a/" + strings.Repeat("a", 2048): "",
		"":                                       "",
	} {
		got, err := ParseEndpoint(raw, false)
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "MARK") {
				t.Errorf("%q: %v, %v; want a refusal in constant words", raw, got, err)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", raw, got, err, want)
		}
		if err == nil && got.JoinPath("login").String() != want+"/login" {
			t.Errorf("%q: %s", raw, got.JoinPath("login"))
		}
	}
	if got, err := ParseEndpoint("http://emulator.test:8080/gini", true); err != nil || got.String() != "http://emulator.test:8080/gini" {
		t.Errorf("http, where it is allowed: %v, %v", got, err)
	}
}
