package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFolder takes the folder for this process. The kernel gives it free when
// the process ends in whatever way, so no stale lock has to be removed by hand.
func lockFolder(folder string) (unlock func() error, err error) {
	path := filepath.Join(folder, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another control plane uses it: stop that one first, or use another folder")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock state folder %s: %w", folder, err), file.Close())
	}
	return file.Close, nil
}
