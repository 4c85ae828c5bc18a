// Package key reconciles the key Secret in the operator's namespace: it has the
// first key made, later ones added when they are due, and says when the keys
// are lost. What a key is and when one is due is internal/keys.
package key
