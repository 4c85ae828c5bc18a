//go:build !linux

package load

// Pin does nothing where a program cannot be kept on one processor.
func Pin(int) error { return nil }
