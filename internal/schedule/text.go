package schedule

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// The bounds and forms of the schema, for objects that are older than its rules.
const (
	mostScopes    = 64
	mostAudiences = 16
	mostNetworks  = 32
	mostServers   = 16
	mostKeys      = 32
	mostText      = 32768

	longestScope    = 128
	longestAudience = 256
	longestServer   = 260
)

const (
	fixed   = "; it cannot be changed: create a new AccessToken instead"
	forName = "metadata.name"
)

var (
	scopePattern  = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)
	serverPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
)

// checkText refuses what a token cannot be issued or delivered with.
func checkText(at *v1alpha1.AccessToken) *InvalidError {
	for _, check := range []func() *InvalidError{
		func() *InvalidError { return checkName(at.Name) },
		func() *InvalidError { return checkScopes(at.Spec.Scopes) },
		func() *InvalidError { return checkAudiences(at.Spec.Audiences) },
		func() *InvalidError { return checkNetworks(at.Spec.AllowedCIDRs) },
		func() *InvalidError { return checkState(at.Spec.State) },
		func() *InvalidError { return checkSecret(at.Spec.Secret) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func checkName(name string) *InvalidError {
	if len(name) > validation.LabelValueMaxLength {
		return invalid(forName, v1alpha1.ReasonSpecInvalid,
			"it has %d characters and can have %d, since it is a label value on the Secret and the records: create a new AccessToken with a shorter name",
			len(name), validation.LabelValueMaxLength)
	}
	return nil
}

func checkScopes(scopes []string) *InvalidError {
	return checkSet("spec.scopes", scopes, mostScopes, fixed, func(scope string) string {
		if len(scope) > longestScope || !scopePattern.MatchString(scope) {
			return "is not a scope of up to 128 printable ASCII characters without space, quote or backslash such as deploy:shop"
		}
		return ""
	})
}

func checkAudiences(audiences []string) *InvalidError {
	return checkSet("spec.audiences", audiences, mostAudiences, fixed, func(audience string) string {
		if audience == "" || len([]rune(audience)) > longestAudience {
			return "is not an audience of 1 to 256 characters such as https://billing.example.com"
		}
		return ""
	})
}

func checkNetworks(networks []v1alpha1.CIDR) *InvalidError {
	return checkSet("spec.allowedCIDRs", networks, mostNetworks, fixed, func(network v1alpha1.CIDR) string {
		if _, err := network.Parse(); err != nil {
			return "is not a network in canonical form such as 10.0.0.0/8 or fd00::/8: without host bits, IPv6 in lower case and shortest form"
		}
		return ""
	})
}

func checkState(state v1alpha1.State) *InvalidError {
	switch state {
	case "", v1alpha1.StateActive, v1alpha1.StateSuspended, v1alpha1.StateRevoked:
		return nil
	}
	return invalid("spec.state", v1alpha1.ReasonSpecInvalid, "%q is unknown: use Active, Suspended or Revoked", string(state))
}

func checkSecret(secret *v1alpha1.SecretTemplate) *InvalidError {
	if secret == nil {
		return nil
	}
	if secret.Name != "" && len(validation.IsDNS1123Subdomain(secret.Name)) > 0 {
		return invalid("spec.secret.name", v1alpha1.ReasonSpecInvalid,
			"%q is not a name for a Secret: use up to 253 lower-case letters, digits, - and ., such as ci-token", secret.Name)
	}
	served := false
	switch secret.Format {
	case "", v1alpha1.SecretFormatOpaque, v1alpha1.SecretFormatBasicAuth:
	case v1alpha1.SecretFormatDockerConfigJSON, v1alpha1.SecretFormatNetrc, v1alpha1.SecretFormatKubeconfig:
		served = true
	default:
		return invalid("spec.secret.format", v1alpha1.ReasonSpecInvalid,
			"%q is unknown: use Opaque, BasicAuth, DockerConfigJson, Netrc or Kubeconfig, and another secret.name", string(secret.Format))
	}
	switch {
	case served && len(secret.Servers) == 0:
		return invalid("spec.secret.servers", v1alpha1.ReasonSpecInvalid,
			"it names the hosts that a %s is for, and is missing: give at least one, such as git.example.com", secret.Format)
	case !served && len(secret.Servers) > 0:
		return invalid("spec.secret.servers", v1alpha1.ReasonSpecInvalid,
			"it names the hosts that a Netrc, DockerConfigJson or Kubeconfig is for: remove it, or choose one of these formats")
	case secret.Format == v1alpha1.SecretFormatKubeconfig && len(secret.Servers) > 1:
		return invalid("spec.secret.servers", v1alpha1.ReasonSpecInvalid, "it has %d members, and a Kubeconfig is for one: give one", len(secret.Servers))
	}
	err := checkSet("spec.secret.servers", secret.Servers, mostServers, "", func(server string) string {
		if len(server) > longestServer || !serverPattern.MatchString(server) {
			return "is not a host name, with a port where one is needed, such as git.example.com"
		}
		return ""
	})
	if err != nil {
		return err
	}
	if err := checkData(secret.Data); err != nil {
		return err
	}
	return checkMetadata(secret)
}

// refusedDomains are those under which keys of labels and annotations mean something
// to others.
var refusedDomains = []string{"kubernetes.io", "k8s.io", "argocd.argoproj.io", "toolkit.fluxcd.io", v1alpha1.Group}

func checkMetadata(secret *v1alpha1.SecretTemplate) *InvalidError {
	const labels, annotations = "spec.secret.labels", "spec.secret.annotations"
	for _, key := range slices.Sorted(maps.Keys(secret.Labels)) {
		if err := checkKey(labels, key, len(secret.Labels)); err != nil {
			return err
		}
		if value := string(secret.Labels[key]); len(validation.IsValidLabelValue(value)) > 0 {
			return invalid(labels, v1alpha1.ReasonSpecInvalid, "%q of %s is not the value of a label: use at most 63 letters, digits, -, _ and .", value, key)
		}
	}
	characters := 0
	for _, key := range slices.Sorted(maps.Keys(secret.Annotations)) {
		if err := checkKey(annotations, key, len(secret.Annotations)); err != nil {
			return err
		}
		characters += utf8.RuneCountInString(string(secret.Annotations[key]))
	}
	if characters > mostText {
		return invalid(annotations, v1alpha1.ReasonSpecInvalid, "its values have %d characters together and can have %d", characters, mostText)
	}
	return nil
}

// checkKey refuses a key of labels or annotations, or that there are so many.
func checkKey(field, key string, all int) *InvalidError {
	if all > mostKeys {
		return invalid(field, v1alpha1.ReasonSpecInvalid, "it has %d keys and can have %d", all, mostKeys)
	}
	if len(validation.IsQualifiedName(key)) > 0 {
		return invalid(field, v1alpha1.ReasonSpecInvalid, "%q is not a key such as team or example.com/team", key)
	}
	domain, _, _ := strings.Cut(key, "/")
	for _, refused := range refusedDomains {
		if strings.Contains(key, "/") && (domain == refused || strings.HasSuffix(domain, "."+refused)) {
			return invalid(field, v1alpha1.ReasonSpecInvalid, "%q is under %s, which means something to others: choose another key, such as example.com/team", key, refused)
		}
	}
	return nil
}

// formatKeys are the keys that formats have, which data cannot have beside them.
var formatKeys = []string{"token", "username", "password", ".dockerconfigjson", ".netrc", "kubeconfig"}

// checkData tells of keys only: a text may hold anything.
func checkData(data map[string]v1alpha1.DataText) *InvalidError {
	const field = "spec.secret.data"
	if len(data) > mostKeys {
		return invalid(field, v1alpha1.ReasonSpecInvalid, "it has %d keys and can have %d", len(data), mostKeys)
	}
	characters := 0
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if len(validation.IsConfigMapKey(key)) > 0 {
			return invalid(field, v1alpha1.ReasonSpecInvalid, "%q is not a key for a Secret of up to 253 letters, digits, - _ and . such as config.json", key)
		}
		if slices.Contains(formatKeys, key) {
			return invalid(field, v1alpha1.ReasonSpecInvalid, "%q is the key of a format: choose another key, or secret.format", key)
		}
		characters += utf8.RuneCountInString(string(data[key]))
	}
	if characters > mostText {
		return invalid(field, v1alpha1.ReasonSpecInvalid, "its texts have %d characters together and can have %d", characters, mostText)
	}
	return nil
}

// checkSet refuses a list that has too many members, one twice, or one that
// wrong says something of; advice follows the message.
func checkSet[T ~string](field string, members []T, most int, advice string, wrong func(T) string) *InvalidError {
	if len(members) > most {
		return invalid(field, v1alpha1.ReasonSpecInvalid, "it has %d members and can have %d%s", len(members), most, advice)
	}
	for i, member := range members {
		at := fmt.Sprintf("%s[%d]", field, i)
		if what := wrong(member); what != "" {
			return invalid(at, v1alpha1.ReasonSpecInvalid, "%q %s%s", string(member), what, advice)
		}
		if slices.Contains(members[:i], member) {
			return invalid(at, v1alpha1.ReasonSpecInvalid, "%q is there twice%s", string(member), advice)
		}
	}
	return nil
}
