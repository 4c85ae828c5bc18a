// Package config owns the configuration file of the verifier: its versioned
// form, the defaults, and the check that finds every mistake at once and says
// where it is and what to do. It decides nothing and opens nothing else.
package config
