package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU time in /proc, on every architecture that Linux
// still runs on.
const clockTick = 10 * time.Millisecond

// procStat is what /proc shows of a process. The zero procStat belongs to a
// system that has no /proc.
type procStat struct {
	cpu     time.Duration // user and system, of all threads
	peakRSS float64       // MB
	rss     float64       // MB
}

// hasProc says whether CPU time and memory of other processes can be had.
func hasProc() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

func readProc(pid int) (procStat, error) {
	if !hasProc() {
		return procStat{}, nil
	}
	folder := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return procStat{}, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	status, err := os.ReadFile(folder + "/status")
	if err != nil {
		return procStat{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	cpu, err := parseCPU(stat)
	if err != nil {
		return procStat{}, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return procStat{cpu: cpu, peakRSS: parseKB(status, "VmHWM:"), rss: parseKB(status, "VmRSS:")}, nil
}

// parseCPU adds utime and stime, the 14th and 15th field. The second is the
// program's name in parentheses and may hold spaces.
func parseCPU(stat []byte) (time.Duration, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("%d fields after the name", len(fields))
	}
	var ticks int64
	for _, field := range []string{fields[utime], fields[stime]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

func parseKB(status []byte, key string) (mb float64) {
	for line := range strings.Lines(string(status)) {
		rest, found := strings.CutPrefix(line, key)
		if !found {
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return 0
		}
		return kb * 1024 / 1e6
	}
	return 0
}
