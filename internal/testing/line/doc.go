// Package line stands between a program under test and the API server of testenv,
// and lets the connection fail: cut, or silent.
package line
