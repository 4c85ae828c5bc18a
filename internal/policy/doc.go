// Package policy reads AccessTokenPolicies: which of them select a namespace, and
// what holds there.
//
// It owns how several policies add up, and the defaults where none says
// anything. It enforces nothing: internal/quota grants places, and admission
// policy refuses what a person may not declare. It is pure.
package policy
