package v1alpha1

// SecretFormat is the shape in which a Secret holds a token.
//
// +kubebuilder:validation:Enum=Opaque;BasicAuth;DockerConfigJson;Netrc;Kubeconfig
type SecretFormat string

const (
	// SecretFormatOpaque: type Opaque, key token.
	SecretFormatOpaque SecretFormat = "Opaque"
	// SecretFormatBasicAuth: type kubernetes.io/basic-auth, keys username (the
	// token ID) and password (the token).
	SecretFormatBasicAuth SecretFormat = "BasicAuth"
	// SecretFormatDockerConfigJSON: type kubernetes.io/dockerconfigjson, key
	// .dockerconfigjson, good as an imagePullSecret for spec.secret.servers.
	SecretFormatDockerConfigJSON SecretFormat = "DockerConfigJson" //nolint:gosec // the name of a format
	// SecretFormatNetrc: type Opaque, key .netrc, for git and curl at
	// spec.secret.servers.
	SecretFormatNetrc SecretFormat = "Netrc"
	// SecretFormatKubeconfig: type Opaque, key kubeconfig, for kubectl and other
	// clients of the API server that spec.secret.servers names.
	SecretFormatKubeconfig SecretFormat = "Kubeconfig"
)

// SecretTemplate says how a token is delivered.
//
// +kubebuilder:validation:XValidation:rule="(has(self.format) && self.format in ['DockerConfigJson', 'Netrc', 'Kubeconfig']) == has(self.servers)",fieldPath=`.servers`,message="names the hosts that a Netrc, DockerConfigJson or Kubeconfig is for: required with these formats, and with these only"
// +kubebuilder:validation:XValidation:rule="!has(self.format) || self.format != 'Kubeconfig' || !has(self.servers) || size(self.servers) < 2",fieldPath=`.servers`,message="a Kubeconfig is for one server: give one, such as kubernetes.default.svc"
type SecretTemplate struct {
	// name is the name of the Secret. Absent means the AccessToken's. A changed
	// name brings a new token in a new Secret; once that is there, the token is
	// taken out of the old Secret, which is deleted unless somebody else keeps
	// something in it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="must be a name for a Secret: lower-case letters, digits, - and ., for example ci-token"
	Name string `json:"name,omitempty"`

	// format is the shape of the Secret. Opaque, the default: key token.
	// BasicAuth: keys username (the token ID) and password. DockerConfigJson:
	// key .dockerconfigjson for image registries. Netrc: key .netrc for git and
	// curl. Kubeconfig: key kubeconfig for kubectl. Fixed while name stays.
	//
	// +optional
	Format SecretFormat `json:"format,omitempty"`

	// servers are the host names, with a port where one is needed, that a
	// Netrc, DockerConfigJson or Kubeconfig is for, such as git.example.com; at
	// least one, at most 16, and just one for a Kubeconfig. Required with these
	// formats, absent with the others. A change brings a new token.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=260
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$')",message="must be a host name, with a port where one is needed, for example git.example.com"
	Servers []string `json:"servers,omitempty"`

	// data are further keys of the Secret, each with a text in which
	// {{ .Token }}, {{ .Name }} and {{ .Namespace }} stand for the token and for the
	// AccessToken's name and namespace; whatever else is in it stays as it is. At
	// most 32, with 32768 characters in all. The keys that a format has are its
	// own. The texts are no place for secrets: whoever may read the AccessToken
	// reads them. Declaring or changing them takes the RBAC verb create on secrets.
	// Absent means none. A change brings a new token.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^[A-Za-z0-9_.-]+$') && k != '.' && !k.startsWith('..'))",message="each key must be one for a Secret: up to 253 letters, digits, - _ and ., not . alone and not beginning with .., for example config.json"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k in ['token', 'username', 'password', '.dockerconfigjson', '.netrc', 'kubeconfig'])",message="token, username, password, .dockerconfigjson, .netrc and kubeconfig are keys of formats: choose another key, or secret.format"
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(self[k])).sum() <= 32768",message="must have at most 32768 characters in all texts together"
	Data map[string]DataText `json:"data,omitempty"`

	// labels are those of the Secret, beside the operator's own; at most 32. Keys
	// under kubernetes.io, k8s.io, argocd.argoproj.io, toolkit.fluxcd.io and
	// accesstoken.dev, and under names below them, are refused. Declaring or changing
	// them takes the RBAC verb create on secrets. Absent means none. A change brings
	// no new token.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !format.qualifiedName().validate(k).hasValue())",message="each key must be that of a label, for example team or example.com/team"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, ['kubernetes.io/', 'k8s.io/', 'argocd.argoproj.io/', 'toolkit.fluxcd.io/', 'accesstoken.dev/'].exists(d, k.startsWith(d) || k.contains('.' + d)))",message="keys under kubernetes.io, k8s.io, argocd.argoproj.io, toolkit.fluxcd.io and accesstoken.dev, and under names below them, mean something to others: choose another key, for example example.com/team"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations are those of the Secret, beside the operator's own; at most 32, with
	// 32768 characters in all. The same keys are refused as of labels, and the same
	// verb is asked for. Absent means none. A change brings no new token.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !format.qualifiedName().validate(k).hasValue())",message="each key must be that of an annotation, for example team or example.com/team"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, ['kubernetes.io/', 'k8s.io/', 'argocd.argoproj.io/', 'toolkit.fluxcd.io/', 'accesstoken.dev/'].exists(d, k.startsWith(d) || k.contains('.' + d)))",message="keys under kubernetes.io, k8s.io, argocd.argoproj.io, toolkit.fluxcd.io and accesstoken.dev, and under names below them, mean something to others: choose another key, for example example.com/team"
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(self[k])).sum() <= 32768",message="must have at most 32768 characters in all values together"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// AnnotationValue is the value of an annotation, of up to 32768 characters.
//
// +kubebuilder:validation:MaxLength=32768
type AnnotationValue string

// DataText is a text of up to 32768 characters in which {{ .Token }}, {{ .Name }}
// and {{ .Namespace }} are replaced, written just so.
//
// +kubebuilder:validation:MaxLength=32768
type DataText string
