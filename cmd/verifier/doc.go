// Command verifier answers whether access tokens are good: to kube-apiserver, to
// gateways and to services, from memory. It reads flags and a configuration file,
// builds the parts and runs them; it decides nothing itself.
package main
