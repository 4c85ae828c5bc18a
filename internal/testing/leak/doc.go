// Package leak searches everything that the programs and the control plane of
// testenv print and keep for what must be in none of it.
package leak
