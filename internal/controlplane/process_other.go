//go:build !linux

package controlplane

import "syscall"

// childAttributes put a child in a process group of its own. Only Linux can tie
// its life to the parent's; elsewhere a killed parent leaves it behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
