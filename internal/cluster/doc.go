// Package cluster is how the programs of this project reach their cluster and
// know which one it is. It keeps no connection and reads nothing else.
package cluster
