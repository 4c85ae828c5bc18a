// Package testenv gives a test binary one real control plane with the operator's
// configuration installed, and each test a namespace of its own.
//
// It starts no operator: what runs against the control plane is the test's
// business. Only tests import it.
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }
//
//	func TestSomething(t *testing.T) {
//		namespace := testenv.Namespace(t)
//		c := testenv.Client(t)
package testenv
