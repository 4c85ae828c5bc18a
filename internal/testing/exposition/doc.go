// Package exposition reads what a metrics endpoint says, for tests of metrics.
package exposition
