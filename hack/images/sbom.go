package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"runtime/debug"
	"strings"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	sourceURL  = "https://github.com/gini-operator/gini-operator"
	license    = "Apache-2.0"
	noneStated = "NOASSERTION"
)

// billOfMaterials lists what is in an image, as SPDX 2.3 in JSON: the program, the modules that the linker put into it, by its own account, the
// standard library, and the list of authorities. It is stable: name and time follow from what it lists.
func billOfMaterials(p program, platform string, r revision, binary []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("SBOM of %s: %w", p.name, err)
	}
	sum := sha256.Sum256(binary)
	checksum := hex.EncodeToString(sum[:])
	certificates, err := certificatesPackage()
	if err != nil {
		return nil, err
	}
	image := &spdx.Package{
		PackageName: p.repository, PackageSPDXIdentifier: "Image", PackageVersion: r.version, PackageDownloadLocation: noneStated,
		PackageLicenseConcluded: noneStated, PackageLicenseDeclared: license, PrimaryPackagePurpose: "CONTAINER", PackageSummary: p.description,
	}
	executable := modulePackage(debug.Module{Path: info.Main.Path, Version: r.version})
	executable.PackageSPDXIdentifier = "Program"
	executable.PackageFileName = p.path
	executable.PackageLicenseDeclared = license
	executable.PackageDownloadLocation = "git+" + sourceURL + "@" + r.commit
	executable.PrimaryPackagePurpose = "APPLICATION"
	executable.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: checksum}}
	document := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      p.repository + "_" + strings.ReplaceAll(platform, "/", "_"),
		DocumentNamespace: sourceURL + "/sbom/" + path.Join(p.name, platform, r.version, checksum),
		CreationInfo: &spdx.CreationInfo{
			Created: r.timestamp(), Creators: []common.Creator{{CreatorType: "Tool", Creator: "gini-operator-images"}},
		},
		Packages: []*spdx.Package{image, executable, certificates},
		Relationships: []*spdx.Relationship{
			related("DOCUMENT", common.TypeRelationshipDescribe, "Image"),
			related("Image", common.TypeRelationshipContains, "Program"),
			related("Image", common.TypeRelationshipContains, certificates.PackageSPDXIdentifier),
		},
	}
	modules := []*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}
	for _, module := range append(modules, info.Deps...) {
		if module.Replace != nil {
			module = module.Replace
		}
		linked := modulePackage(*module)
		document.Packages = append(document.Packages, linked)
		document.Relationships = append(document.Relationships, related("Program", common.TypeRelationshipDependsOn, linked.PackageSPDXIdentifier))
	}
	var out bytes.Buffer
	if err := spdxjson.Write(document, &out, spdxjson.Indent("  "), spdxjson.EscapeHTML(false)); err != nil {
		return nil, fmt.Errorf("SBOM of %s: %w", p.name, err)
	}
	return out.Bytes(), nil
}

// certificatesPackage is the list of authorities, in the version that this program was built with.
func certificatesPackage() (*spdx.Package, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("SBOM: this program does not know what it was built from: use go run or go build")
	}
	for _, module := range info.Deps {
		if module.Path == certificatesModule {
			listed := modulePackage(*module)
			listed.PackageFileName = "/etc/ssl/certs/ca-certificates.crt"
			return listed, nil
		}
	}
	return nil, fmt.Errorf("SBOM: %s is not among the modules of this program", certificatesModule)
}

// notInIDs is what SPDX does not allow in an identifier.
var notInIDs = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// modulePackage describes a Go module. Scanners find its vulnerabilities by the package URL.
func modulePackage(m debug.Module) *spdx.Package {
	return &spdx.Package{
		PackageName:             m.Path,
		PackageSPDXIdentifier:   common.ElementID("Module-" + notInIDs.ReplaceAllString(m.Path, "-")),
		PackageVersion:          m.Version,
		PackageDownloadLocation: noneStated, PackageLicenseConcluded: noneStated, PackageLicenseDeclared: noneStated,
		PrimaryPackagePurpose: "LIBRARY",
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL,
			Locator: "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B"),
		}},
	}
}

func related(from common.ElementID, how string, to common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: from}, Relationship: how, RefB: common.DocElementID{ElementRefID: to},
	}
}
