package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind of this project, and the prefix of its
// labels, annotations and verbs.
const Group = "accesstoken.dev"

var (
	// GroupVersion is the group and version that this package serves.
	GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

	// SchemeGroupVersion is GroupVersion under the name that generated clients
	// look for.
	SchemeGroupVersion = GroupVersion

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the kinds of this package with a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&AccessToken{}, &AccessTokenList{},
		&AccessTokenPolicy{}, &AccessTokenPolicyList{},
		&AccessTokenQuota{}, &AccessTokenQuotaList{},
		&TokenRecord{}, &TokenRecordList{},
		&TokenRevocation{}, &TokenRevocationList{},
		&ClusterTokenRevocation{}, &ClusterTokenRevocationList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
