// Package child looks at a program that a test runs as a child process: what it
// answers, what it logs, and what a crash leaves behind. internal/controlplane
// starts and stops it.
package child
