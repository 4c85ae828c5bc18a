// Package index owns the keys by which cached objects are found, how each key is
// read from an object, and the registration of both with a cache. It holds no
// objects and decides nothing.
package index
