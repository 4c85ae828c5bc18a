// Package tokens issues tokens in memory, sealed as the manager seals them, for
// tests of what verifies them. It needs no API server, and knows nothing of
// watches: see internal/store for that.
package tokens
