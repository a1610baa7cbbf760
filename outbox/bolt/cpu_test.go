package bolt_test

import (
	"syscall"
	"testing"
	"time"
)

// A cpu is how much processor time the process had used at a moment.
type cpu time.Duration

func startCPU() cpu { return cpu(cpuTime()) }

// report adds the processor time used since then to the results: the elapsed time is mostly that of the disk.
func (c cpu) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(cpuTime()-time.Duration(c))/float64(b.N)/1e3, "cpu-µs/op")
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
