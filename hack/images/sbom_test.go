package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"
)

// linked are some of the modules that a program cannot do without.
var linked = map[string][]string{
	"operator": {"github.com/golang-jwt/jwt/v5", "sigs.k8s.io/controller-runtime", "k8s.io/client-go", "github.com/prometheus/client_golang"},
	"emulator": {"github.com/golang-jwt/jwt/v5", "github.com/go-jose/go-jose/v4"},
	"consumer": {"golang.org/x/oauth2"},
}

// wantBill checks an SBOM: valid SPDX 2.3, about this very program, complete as far as is known, and by nothing but what it lists.
func wantBill(t *testing.T, p program, bill []byte, binary string) {
	t.Helper()
	document, err := spdxjson.Read(bytes.NewReader(bill))
	if err != nil {
		t.Fatal(err)
	}
	if err = spdxlib.ValidateDocument(document); err != nil {
		t.Error(err)
	}
	if document.SPDXVersion != "SPDX-2.3" || document.DataLicense != "CC0-1.0" || document.CreationInfo.Created != testCreated {
		t.Errorf("%s, %s, %+v", document.SPDXVersion, document.DataLicense, document.CreationInfo)
	}
	if described, err := spdxlib.GetDescribedPackageIDs(document); err != nil || !slices.Equal(described, []common.ElementID{"Image"}) {
		t.Errorf("it describes %v, %v", described, err)
	}
	sum := sha256.Sum256([]byte(binary))
	if !strings.HasSuffix(document.DocumentNamespace, hex.EncodeToString(sum[:])) {
		t.Errorf("the namespace %s is not that of the program", document.DocumentNamespace)
	}
	versions := map[string]string{}
	identifier := regexp.MustCompile(`^[A-Za-z0-9.-]+$`)
	for _, listed := range document.Packages {
		if versions[listed.PackageName] != "" && listed.PackageName != p.repository {
			t.Errorf("%s is listed twice", listed.PackageName)
		}
		versions[listed.PackageName] = listed.PackageVersion
		if !identifier.MatchString(string(listed.PackageSPDXIdentifier)) || listed.PackageVersion == "" || listed.PackageDownloadLocation == "" {
			t.Errorf("%+v", listed)
		}
		if listed.PackageSPDXIdentifier == "Program" && (len(listed.PackageChecksums) != 1 || listed.PackageChecksums[0].Value != hex.EncodeToString(sum[:])) {
			t.Errorf("checksums %+v", listed.PackageChecksums)
		}
	}
	wanted := append([]string{"stdlib", "github.com/gini-operator/gini-operator", certificatesModule}, linked[p.name]...)
	for _, module := range wanted {
		if versions[module] == "" || module != "stdlib" && !strings.HasPrefix(versions[module], "v") {
			t.Errorf("%s has version %q", module, versions[module])
		}
	}
	wantFields(t, bill)
}

// wantFields looks at the JSON itself: readers other than ours insist on these.
func wantFields(t *testing.T, bill []byte) {
	t.Helper()
	var raw struct {
		ID       string `json:"SPDXID"`
		Packages []struct {
			ID            string `json:"SPDXID"`
			FilesAnalyzed *bool  `json:"filesAnalyzed"`
			References    []struct {
				Category string `json:"referenceCategory"`
				Locator  string `json:"referenceLocator"`
			} `json:"externalRefs"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(bill, &raw); err != nil {
		t.Fatal(err)
	}
	if raw.ID != "SPDXRef-DOCUMENT" {
		t.Errorf("the document is %s", raw.ID)
	}
	for _, listed := range raw.Packages {
		if !strings.HasPrefix(listed.ID, "SPDXRef-") || listed.FilesAnalyzed == nil || *listed.FilesAnalyzed {
			t.Errorf("%+v", listed)
		}
		for _, reference := range listed.References {
			if reference.Category != "PACKAGE-MANAGER" || !strings.HasPrefix(reference.Locator, "pkg:golang/") || strings.Contains(reference.Locator, "+") {
				t.Errorf("%s: %+v", listed.ID, reference)
			}
		}
	}
}
