// Package accessreview makes the scopes of access tokens hold inside
// kube-apiserver: the SubjectAccessReview webhook of authorization.k8s.io/v1,
// which is asked before RBAC.
//
// It denies or has no opinion, and never allows: what a token may do is for RBAC
// to grant. Which requests a scope covers comes from the configuration; a scope
// that it does not name covers nothing. What would make a token stronger than
// itself is denied unless the configuration names it. It decides from the request
// alone, where kube-apiserver puts what our TokenReview said of the token.
package accessreview
