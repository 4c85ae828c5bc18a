// Package policies holds the admission policies that this release ships, as far
// as the programs have to know them. What they mean is written in the files
// themselves; kubectl and kustomize install them.
package policies
