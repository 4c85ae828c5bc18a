package admission_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// words of docs/rights.md for several verbs.
var shorthand = map[string][]string{
	"read":  {"get", "list", "watch"},
	"write": {"create", "delete", "deletecollection", "patch", "update"},
	"none":  nil,
}

var code = regexp.MustCompile("`([^`]+)`")

// documentedRights reads the table of docs/rights.md: verbs by role and resource.
func documentedRights() map[string]map[string][]string {
	GinkgoHelper()
	root, err := assets.ModuleRoot()
	Expect(err).NotTo(HaveOccurred())
	page, err := os.ReadFile(filepath.Join(root, "docs", "rights.md"))
	Expect(err).NotTo(HaveOccurred())
	rights := map[string]map[string][]string{}
	var roles []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		switch {
		case strings.HasPrefix(line, "| resource |"):
			for _, cell := range cells[1:4] {
				roles = append(roles, strings.Trim(cell, "`"))
				rights[strings.Trim(cell, "`")] = map[string][]string{}
			}
		case len(roles) == 0 || !strings.HasPrefix(line, "| `"):
			continue
		case strings.HasPrefix(line, "| `issue`"):
			return rights
		default:
			for _, resource := range code.FindAllStringSubmatch(cells[0], -1) {
				for i, role := range roles {
					rights[role][resource[1]] = verbsOf(cells[i+1])
				}
			}
		}
	}
	Fail("docs/rights.md has no second table")
	return nil
}

func verbsOf(cell string) []string {
	var verbs []string
	for word := range strings.SplitSeq(cell, ", ") {
		if several, ok := shorthand[word]; ok {
			verbs = append(verbs, several...)
		} else {
			verbs = append(verbs, word)
		}
	}
	slices.Sort(verbs)
	return verbs
}

var _ = Describe("docs/rights.md", func() {
	It("says what the shipped roles grant, of every kind", func(ctx SpecContext) {
		documented := documentedRights()
		objects := render(ctx, configFolder("default"))
		for _, o := range objects {
			if o.GetKind() != "CustomResourceDefinition" {
				continue
			}
			plural, _, _ := strings.Cut(o.GetName(), ".")
			for role := range documented {
				Expect(documented[role]).To(HaveKey(plural), "the table lacks a kind")
			}
		}
		for role, resources := range documented {
			var granted rbacv1.ClusterRole
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(find(objects, "ClusterRole", role).Object, &granted)).To(Succeed())
			found := map[string][]string{}
			for _, rule := range granted.Rules {
				Expect(rule.APIGroups).To(ConsistOf(v1alpha1.Group), role)
				for _, resource := range rule.Resources {
					found[resource] = append(found[resource], rule.Verbs...)
				}
			}
			for resource, verbs := range resources {
				slices.Sort(found[resource])
				Expect(found[resource]).To(Equal(verbs), "%s on %s", role, resource)
				delete(found, resource)
			}
			Expect(found).To(BeEmpty(), "%s grants what the table does not say", role)
		}
	})
})
