package record

import (
	"fmt"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

// check refuses to seal what is incomplete, what the API server would store
// otherwise than it was sealed, and what could never verify. An opened record
// needs no such check: its seal says that it passed.
func check(spec *v1alpha1.TokenRecordSpec, at place) error {
	for _, required := range []struct{ field, value string }{
		{"the cluster ID", at.clusterID},
		{"metadata.namespace", at.namespace},
		{"spec.keyID", spec.KeyID},
		{"spec.subject.kind", string(spec.Subject.Kind)},
		{"spec.subject.name", spec.Subject.Name},
		{"spec.issuedAt", string(spec.IssuedAt)},
	} {
		if required.value == "" {
			return malformed("%s is missing", required.field)
		}
	}
	if !token.ValidID(at.name) {
		return malformed("metadata.name: %w", token.ErrID)
	}
	if spec.Creator != nil && spec.Creator.Username == "" {
		return malformed("spec.creator.username is missing")
	}
	if err := checkOrigin(spec, at.name); err != nil {
		return err
	}
	if err := checkSubject(spec, at.namespace); err != nil {
		return err
	}
	if err := checkLists(spec); err != nil {
		return err
	}
	if spec.ExtendWhenUsed && (spec.MaxAgeSeconds == nil || spec.NotAfter == "") {
		return malformed("spec: maxAgeSeconds or notAfter is missing, which a token that use extends must have")
	}
	_, err := lifetime(spec, nil)
	return err
}

// checkOrigin demands the name that the API server lets only one writer take.
func checkOrigin(spec *v1alpha1.TokenRecordSpec, name string) error {
	switch {
	case spec.Origin != v1alpha1.OriginDeclared:
		return malformed("spec.origin: %q is not known", string(spec.Origin))
	case spec.AccessTokenName == "" || spec.AccessTokenUID == "" || spec.Revision < 1:
		return malformed("spec: accessTokenName, accessTokenUID or revision of a declared token is missing")
	case name != token.DeclaredID(spec.AccessTokenUID, spec.Revision):
		return malformed("metadata.name is not the ID of spec.accessTokenUID and spec.revision")
	}
	return nil
}

// checkSubject demands of a token that acts as another that the creator's right
// to it was proved, and of a service account that it is one of the namespace and
// has its UID.
func checkSubject(spec *v1alpha1.TokenRecordSpec, namespace string) error {
	subject := &spec.Subject
	switch subject.Kind {
	case v1alpha1.SubjectKindAccessToken:
		return nil
	case v1alpha1.SubjectKindServiceAccount:
		if !strings.HasPrefix(subject.Name, "system:serviceaccount:"+namespace+":") || subject.UID == "" {
			return malformed("spec.subject: not a service account of namespace %s, or without its UID", namespace)
		}
	case v1alpha1.SubjectKindUser:
		if strings.HasPrefix(subject.Name, "system:") || strings.HasPrefix(subject.Name, v1alpha1.PrincipalPrefix) {
			return malformed("spec.subject.name: not that of a user")
		}
	default:
		return malformed("spec.subject.kind: %q is not known", string(subject.Kind))
	}
	if spec.Creator == nil || spec.Creator.Checked == "" {
		return malformed("spec.creator.checked is missing, which a token that acts as another must have")
	}
	return nil
}

// checkLists refuses empty lists, which are not stored, so that the record
// would come back without them, and networks that are not canonical.
func checkLists(spec *v1alpha1.TokenRecordSpec) error {
	for _, list := range []struct {
		field  string
		empty  bool
		absent bool
	}{
		{"spec.subject.groups", len(spec.Subject.Groups) == 0, spec.Subject.Groups == nil},
		{"spec.scopes", len(spec.Scopes) == 0, spec.Scopes == nil},
		{"spec.audiences", len(spec.Audiences) == 0, spec.Audiences == nil},
		{"spec.allowedCIDRs", len(spec.AllowedCIDRs) == 0, spec.AllowedCIDRs == nil},
	} {
		if list.empty && !list.absent {
			return malformed("%s is empty: leave it out", list.field)
		}
	}
	for i, network := range spec.AllowedCIDRs {
		if _, err := network.Parse(); err != nil {
			return malformed("spec.allowedCIDRs[%d]: %w", i, err)
		}
	}
	return nil
}

func malformed(format string, arguments ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, arguments...)...)
}
