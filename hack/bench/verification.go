package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/hack/bench/load"
)

// How long a protocol is asked: by many at once, and by one.
const (
	saturation  = 3 * time.Second
	alone       = time.Second
	manyAtOnce  = 16
	answersOn   = 0 // processor
	asksOn      = 1
	bytesAToken = 600
)

// aimsOfVerification are the least shares of the floor, by CPU time.
var aimsOfVerification = map[string]float64{forwardAuth: 0.88, introspect: 0.75, tokenReview: 0.7, extAuthz: 0.92}

// measureVerification asks each protocol over indexes of several sizes, and its
// floor before and after. The server is a process of its own on one processor,
// the load one on the other.
func measureVerification(ctx context.Context, b *bench, r *results) error {
	if runtime.NumCPU() < 2 {
		return errors.New("it takes two processors, one for each side")
	}
	for _, protocol := range protocols {
		before, err := b.measureAnswers(ctx, protocol+floorSuffix, 1)
		if err != nil {
			return err
		}
		var of []answers
		for _, n := range b.indexes {
			b.say("%s over %d tokens", protocol, n)
			a, err := b.measureAnswers(ctx, protocol, n)
			if err != nil {
				return err
			}
			of = append(of, a)
		}
		after, err := b.measureAnswers(ctx, protocol+floorSuffix, 1)
		if err != nil {
			return err
		}
		for i, n := range b.indexes {
			r.reportAnswers(fmt.Sprintf("%s over %d tokens: ", protocol, n), of[i], meanOf(before, after), aimsOfVerification[protocol])
		}
	}
	return nil
}

// answers are what one server was seen to do.
type answers struct {
	many, one     load.Result
	cpu           time.Duration // of the server, each request
	bytesPerToken float64
}

func meanOf(a, b answers) answers {
	mean := a
	mean.cpu = (a.cpu + b.cpu) / 2
	mean.many.Requests = (a.many.Requests + b.many.Requests) / 2
	mean.many.Elapsed = (a.many.Elapsed + b.many.Elapsed) / 2
	return mean
}

func (r *results) reportAnswers(name string, a, floor answers, least float64) {
	r.addBeside(name+"requests a second", a.many.PerSecond(), floor.many.PerSecond(), "1/s", aim{})
	// The share of the floor is its CPU time over ours.
	ratio, own, base := float64(floor.cpu)/float64(a.cpu), microseconds(a.cpu), microseconds(floor.cpu)
	r.rows = append(r.rows, row{Name: name + "CPU per request", Value: own, Unit: "us", Floor: &base, Ratio: &ratio, aim: leastRatio(least)})
	r.addBeside(name+"answer alone, p50", microseconds(spread(a.one.Took).quantile(0.5)), microseconds(spread(floor.one.Took).quantile(0.5)), "us", aim{})
	r.addBeside(name+"answer alone, p99", microseconds(spread(a.one.Took).quantile(0.99)), microseconds(spread(floor.one.Took).quantile(0.99)), "us", aim{})
	r.addBeside(name+"answer at saturation, p99", microseconds(spread(a.many.Took).quantile(0.99)), microseconds(spread(floor.many.Took).quantile(0.99)), "us", aim{})
	if a.bytesPerToken > 0 {
		r.add(name+"memory per token", a.bytesPerToken, "B", atMost(bytesAToken))
	}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// measureAnswers runs a server and asks it.
func (b *bench) measureAnswers(ctx context.Context, protocol string, n int) (a answers, err error) {
	certFile, keyFile, err := b.servingCertificate()
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serve := exec.CommandContext(ctx, b.self, answerCommand, "-protocol="+protocol, "-tokens="+strconv.Itoa(n),
		"-processor="+strconv.Itoa(answersOn), "-cert="+certFile, "-key="+keyFile)
	serve.Stderr = os.Stderr
	input, err := serve.StdinPipe()
	if err != nil {
		return a, err
	}
	output, err := serve.StdoutPipe()
	if err != nil {
		return a, err
	}
	if err := serve.Start(); err != nil {
		return a, fmt.Errorf("start the server of %s: %w", protocol, err)
	}
	defer func() { err = errors.Join(err, input.Close(), serve.Wait()) }()
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("the server of %s ended: %w", protocol, err)
	}
	var told answering
	if err := json.Unmarshal(line, &told); err != nil {
		return a, fmt.Errorf("read what the server of %s says: %w", protocol, err)
	}
	if n > 1 {
		a.bytesPerToken = told.BytesPerToken
	}
	askFor := func(connections int, duration time.Duration) (load.Result, error) {
		return b.ask(ctx, certFile, protocol, told.Address, max(n, 1), connections, duration)
	}
	if _, err := askFor(manyAtOnce, alone); err != nil { // warm
		return a, err
	}
	if a.one, err = askFor(1, alone); err != nil {
		return a, err
	}
	before, err := readProc(serve.Process.Pid)
	if err != nil {
		return a, err
	}
	if a.many, err = askFor(manyAtOnce, saturation); err != nil {
		return a, err
	}
	after, err := readProc(serve.Process.Pid)
	a.cpu = (after.cpu - before.cpu) / time.Duration(max(a.many.Requests, 1))
	return a, err
}

func (b *bench) ask(ctx context.Context, caFile, protocol, address string, n, connections int, duration time.Duration) (load.Result, error) {
	command := exec.CommandContext(ctx, b.self, askCommand, "-protocol="+protocol, "-address="+address, "-ca="+caFile,
		"-tokens="+strconv.Itoa(n), "-connections="+strconv.Itoa(connections), "-for="+duration.String(), "-processor="+strconv.Itoa(asksOn))
	var output, problems bytes.Buffer
	command.Stdout, command.Stderr = &output, &problems
	if err := command.Run(); err != nil {
		return load.Result{}, fmt.Errorf("ask %s: %w: %s", protocol, err, bytes.TrimSpace(problems.Bytes()))
	}
	var result load.Result
	err := json.NewDecoder(io.LimitReader(&output, 1<<30)).Decode(&result)
	return result, err
}

// servingCertificate is that of the servers, and its own authority.
func (b *bench) servingCertificate() (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(b.scratch, "serving.crt"), filepath.Join(b.scratch, "serving.key")
	if _, err := os.Stat(certFile); err == nil {
		return certFile, keyFile, nil
	}
	certificate, key, err := selfSigned(time.Now())
	if err != nil {
		return "", "", err
	}
	return certFile, keyFile, errors.Join(os.WriteFile(certFile, certificate, 0o600), os.WriteFile(keyFile, key, 0o600))
}
