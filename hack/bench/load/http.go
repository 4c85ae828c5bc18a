package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Result is what a run of load saw.
type Result struct {
	Requests int             `json:"requests"`
	Elapsed  time.Duration   `json:"elapsed"`
	Took     []time.Duration `json:"took"` // of each request, up to a bound
}

// PerSecond is the rate.
func (r Result) PerSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// mostTook bounds how many latencies of a connection are kept.
const mostTook = 20_000

// HTTP asks over TLS and HTTP/1.1, each connection one request after the other.
type HTTP struct {
	Address     string
	TLS         *tls.Config
	Connections int

	// Request returns the bytes of the n-th request of a connection. They are not
	// changed.
	Request func(connection, n int) []byte

	// Status is what every answer has to begin with, such as "HTTP/1.1 200".
	Status string
}

// Run asks for as long as is told. It fails at the first answer that is not as it
// has to be.
func (h HTTP) Run(ctx context.Context, duration time.Duration) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var (
		requests atomic.Int64
		mu       sync.Mutex
		took     []time.Duration
		failures []error
		group    sync.WaitGroup
	)
	start := time.Now()
	for i := range h.Connections {
		group.Go(func() {
			own, n, err := h.connection(ctx, i)
			requests.Add(int64(n))
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
			failures = append(failures, err)
		})
	}
	group.Wait()
	return Result{Requests: int(requests.Load()), Elapsed: time.Since(start), Took: took}, errors.Join(failures...)
}

func (h HTTP) connection(ctx context.Context, connection int) (took []time.Duration, n int, err error) {
	dialer := tls.Dialer{Config: h.TLS}
	conn, err := dialer.DialContext(ctx, "tcp", h.Address)
	if err != nil {
		return nil, 0, fmt.Errorf("connect to %s: %w", h.Address, err)
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReaderSize(conn, 16<<10)
	for ctx.Err() == nil {
		began := time.Now()
		if err := h.ask(conn, reader, h.Request(connection, n)); err != nil {
			return took, n, err
		}
		if len(took) < mostTook {
			took = append(took, time.Since(began))
		}
		n++
	}
	return took, n, nil
}

func (h HTTP) ask(conn net.Conn, reader *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if !bytes.HasPrefix(line, []byte(h.Status)) {
		return fmt.Errorf("answered %q, want %q", bytes.TrimSpace(line), h.Status)
	}
	length, err := readHeader(reader)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, reader, length)
	return err
}

var lengthField = []byte("Content-Length: ")

// readHeader reads up to the empty line, and returns the length of the body.
func readHeader(reader *bufio.Reader) (length int64, err error) {
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("read a header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, nil
		}
		if text, ok := bytes.CutPrefix(line, lengthField); ok {
			if length, err = strconv.ParseInt(string(text), 10, 64); err != nil {
				return 0, fmt.Errorf("read the length of an answer: %w", err)
			}
		}
	}
}
