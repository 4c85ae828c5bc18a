// Package v1alpha1 holds the Kubernetes API of access tokens, group
// accesstoken.dev, version v1alpha1: AccessToken, which a person or a Git
// repository declares; TokenRecord, the sealed record of one issued credential;
// AccessTokenPolicy, which limits what may be declared; AccessTokenQuota, the
// ledger of who has a token; and TokenRevocation and ClusterTokenRevocation, which
// void tokens.
//
// It owns the types, the names of conditions, reasons, labels and annotations,
// and how the written values (durations, instants) are read. It decides
// nothing: what is due and when is internal/lifecycle and internal/schedule;
// what a record proves is internal/record.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
// +groupName=accesstoken.dev
package v1alpha1
