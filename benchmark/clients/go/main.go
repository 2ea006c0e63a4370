// The Go client that pinfetch grew from, measured as the others are: a plan in JSON as the only argument, the outcome
// in JSON on standard output (benchmark/plan.d.mts says what they are).
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	http "github.com/bogdanfinn/fhttp"
	tls_client "github.com/bogdanfinn/tls-client"
)

type plan struct {
	Task, What, Hostname, Path, Ca, Pin, Folder string
	Port                                        int
	HTTP2                                       bool `json:"http2"`
	Proxy                                       *string
	Concurrency, Warmup, Requests               int
	StartedAt                                   float64
}

type outcome struct {
	CPU        int64   `json:"cpuUs"`
	Wall       int64   `json:"wallUs"`
	Bytes      int64   `json:"bytes"`
	FirstMs    float64 `json:"firstMs,omitempty"`
	GrownBytes int64   `json:"grownBytes,omitempty"`
}

func main() {
	if err := carryOut(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func carryOut() error {
	if len(os.Args) < 2 {
		return fmt.Errorf("the plan is missing")
	}
	var plan plan
	if err := json.Unmarshal([]byte(os.Args[1]), &plan); err != nil {
		return err
	}
	client, err := open(&plan)
	if err != nil {
		return err
	}
	url := fmt.Sprintf("https://%s:%d%s", plan.Hostname, plan.Port, plan.Path)
	ask := func(int64) (int64, error) { return request(client, &plan, url) }
	var result outcome
	switch plan.Task {
	case "requests":
		if _, err := inFlight(plan.Concurrency, plan.Warmup, ask); err != nil {
			return err
		}
		result, err = measured(func() (int64, error) { return inFlight(plan.Concurrency, plan.Requests, ask) })
	case "start":
		result.Bytes, err = ask(0)
		result.CPU = cpu()
		result.FirstMs = float64(time.Now().UnixMicro())/1000 - plan.StartedAt
		result.Wall = int64(result.FirstMs * 1000)
	default:
		err = fmt.Errorf("it has no way to do %s", plan.Task)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func open(plan *plan) (tls_client.HttpClient, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(plan.Ca)) {
		return nil, fmt.Errorf("the root cannot be read")
	}
	pin := strings.TrimPrefix(plan.Pin, "sha256/")
	options := []tls_client.HttpClientOption{
		tls_client.WithTransportOptions(&tls_client.TransportOptions{RootCAs: roots, MaxIdleConnsPerHost: plan.Concurrency}),
		tls_client.WithCertificatePinning(map[string][]string{plan.Hostname: {pin}}, nil),
	}
	if !plan.HTTP2 {
		options = append(options, tls_client.WithForceHttp1())
	}
	if plan.Proxy != nil {
		options = append(options, tls_client.WithProxyUrl(*plan.Proxy))
	}
	return tls_client.NewHttpClient(tls_client.NewNoopLogger(), options...)
}

func request(client tls_client.HttpClient, plan *plan, url string) (int64, error) {
	method, content := http.MethodGet, io.Reader(nil)
	if plan.What == "post" {
		method, content = http.MethodPost, bytes.NewReader(bytes.Repeat([]byte{'x'}, 10*1024))
	}
	request, err := http.NewRequest(method, url, content)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	switch plan.What {
	case "stream":
		return io.Copy(io.Discard, response.Body)
	case "json":
		var items []any
		err := json.NewDecoder(response.Body).Decode(&items)
		return int64(len(items)), err
	case "save":
		file, err := os.Create(plan.Folder + "/saved-go")
		if err != nil {
			return 0, err
		}
		defer file.Close()
		return io.Copy(file, response.Body)
	default:
		whole := bytes.NewBuffer(make([]byte, 0, max(response.ContentLength, 512)+bytes.MinRead))
		return whole.ReadFrom(response.Body)
	}
}

func inFlight(concurrency, count int, ask func(int64) (int64, error)) (int64, error) {
	var left, read atomic.Int64
	left.Store(int64(count))
	var failure atomic.Pointer[error]
	var workers sync.WaitGroup
	for range min(concurrency, count) {
		workers.Go(func() {
			for failure.Load() == nil {
				number := left.Add(-1)
				if number < 0 {
					return
				}
				length, err := ask(number)
				if err != nil {
					failure.Store(&err)
				}
				read.Add(length)
			}
		})
	}
	workers.Wait()
	if err := failure.Load(); err != nil {
		return 0, *err
	}
	return read.Load(), nil
}

func measured(work func() (int64, error)) (outcome, error) {
	used, began := cpu(), time.Now()
	read, err := work()
	return outcome{CPU: cpu() - used, Wall: time.Since(began).Microseconds(), Bytes: read}, err
}

func cpu() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano()/1000 + usage.Stime.Nano()/1000
}
