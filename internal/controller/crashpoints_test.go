package controller_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// References are what the flows are when nothing happens, by their names: each is run once.
var references = map[string]*played{}

func (f flow) reference(ctx context.Context) *played {
	GinkgoHelper()
	if references[f.name] == nil {
		references[f.name] = f.play(ctx, nothingHappens, 0, nil)
	}
	return references[f.name]
}

var golden = filepath.Join("testdata", "crashpoints.golden")

// listed are the steps of a flow, as the golden file lists them.
func (f flow) listed(of *played) string {
	var list strings.Builder
	fmt.Fprintf(&list, "%s\n", f.name)
	act := ""
	for _, one := range of.steps {
		if one.act != act {
			act = one.act
			fmt.Fprintf(&list, "  %s\n", act)
		}
		fmt.Fprintf(&list, "    %s\n", one.name)
	}
	return list.String()
}

var _ = Describe("The crash points of the flows", stepwise, func() {
	It("are those that the golden file lists", func(ctx SpecContext) {
		var lists []string
		for _, flow := range flows {
			lists = append(lists, flow.listed(flow.reference(ctx)))
		}
		found := strings.Join(lists, "\n")
		if os.Getenv("UPDATE_CRASHPOINTS") != "" {
			Expect(os.MkdirAll(filepath.Dir(golden), 0o755)).To(Succeed())
			Expect(os.WriteFile(golden, []byte(found), 0o644)).To(Succeed())
		}
		expected, err := os.ReadFile(golden)
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(Equal(string(expected)), "the operator takes other steps than %s lists; where that is meant, write it anew with UPDATE_CRASHPOINTS=1", golden)
	})

	for _, flow := range flows {
		DescribeTable("survive (R3.6, R17.2): "+flow.name, func(ctx SpecContext, happens event, points func(*played) []int) {
			reference := flow.reference(ctx)
			var failures []string
			for _, at := range points(reference) {
				if err := flow.survives(ctx, happens, at, reference); err != nil {
					failures = append(failures, reference.describe(happens, at)+":\n"+err.Error())
				}
			}
			if len(failures) > 0 {
				Fail(strings.Join(failures, "\n\n"))
			}
		}, entries())
	}
})

// entries are what happens to each flow. Dying before a step is, seen from outside, dying after the one that it follows.
func entries() []TableEntry {
	if os.Getenv("CRASHPOINTS") != "all" {
		return []TableEntry{
			Entry("an operator that dies after a step, each that differs from others", diesAfter, (*played).distinct),
			Entry("another operator that overtakes it before the first credential is written", isOvertaken, (*played).firstSecret),
		}
	}
	return []TableEntry{
		Entry("an operator that dies before a step", diesBefore, (*played).everywhere),
		Entry("an operator that dies after a step", diesAfter, (*played).everywhere),
		Entry("another operator that overtakes it before a step", isOvertaken, (*played).everywhere),
	}
}
