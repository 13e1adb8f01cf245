// load posts AdmissionReviews to a webhook over keep-alive TLS and prints what came back as JSON.
//
// Without --rate each connection sends its next review as soon as it has the answer (closed loop).
// With --rate the reviews are due at fixed times and a latency counts from the time a review was due,
// so that a slow answer is not hidden by the ones that waited behind it (coordinated omission).
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

type result struct {
	Reviews   int     `json:"reviews"`
	Allowed   int     `json:"allowed"`
	Refused   int     `json:"refused"`
	Errors    int     `json:"errors"`
	FirstErr  string  `json:"firstError,omitempty"`
	Seconds   float64 `json:"seconds"`
	P50       float64 `json:"p50Ms"`
	P90       float64 `json:"p90Ms"`
	P99       float64 `json:"p99Ms"`
	Max       float64 `json:"maxMs"`
	BytesSent int64   `json:"bytesSent"`
}

type sample struct {
	ms      float64
	allowed bool
	err     error
}

func client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		// The API server pins the CA; here only the work counts, which is the same.
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 1,
		DisableCompression:  true,
	}}
}

func post(c *http.Client, url string, body []byte) (bool, error) {
	r, err := c.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return false, err
	}
	if r.StatusCode != 200 {
		return false, fmt.Errorf("HTTP %d: %.200s", r.StatusCode, answer)
	}
	switch {
	case bytes.Contains(answer, []byte(`"allowed":true`)):
		return true, nil
	case bytes.Contains(answer, []byte(`"allowed":false`)):
		return false, nil
	}
	return false, fmt.Errorf("no verdict in %.200s", answer)
}

func main() {
	base := flag.String("url", "", "https://127.0.0.1:PORT")
	mutate := flag.String("mutate", "/mutate", "path of the mutating endpoint")
	validate := flag.String("validate", "/validate", "path of the validating endpoint")
	mix := flag.String("mix", "cached", "cached: no review needs a look-up; live: each does")
	connections := flag.Int("connections", 8, "")
	rate := flag.Float64("rate", 0, "reviews per second; 0: as many as come back")
	seconds := flag.Float64("seconds", 5, "")
	warm := flag.Float64("warm", 1, "seconds before that, not counted")
	show := flag.Bool("show", false, "print the answer to each kind of review instead")
	flag.Parse()
	reviews := mixes[*mix]()
	urls := []string{*base + *mutate, *base + *validate}
	if *show {
		for i, body := range reviews {
			r, err := client().Post(urls[i%2], "application/json", bytes.NewReader(body))
			if err != nil {
				fmt.Println(err)
				continue
			}
			answer, _ := io.ReadAll(r.Body)
			fmt.Printf("%d bytes -> HTTP %d %s\n", len(body), r.StatusCode, answer)
		}
		return
	}
	run(reviews, urls, *connections, *rate, *warm)
	out := run(reviews, urls, *connections, *rate, *seconds)
	json.NewEncoder(os.Stdout).Encode(out)
	if out.Errors > 0 {
		os.Exit(1)
	}
}

func run(reviews [][]byte, urls []string, connections int, rate, seconds float64) result {
	var next, sent atomic.Int64
	began := time.Now()
	end := began.Add(time.Duration(seconds * float64(time.Second)))
	all := make([][]sample, connections)
	var group sync.WaitGroup
	for c := range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			h := client()
			defer h.CloseIdleConnections()
			for {
				i := next.Add(1) - 1
				due := time.Now()
				if rate > 0 {
					due = began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
					if due.After(end) {
						return
					}
					time.Sleep(time.Until(due))
				} else if due.After(end) {
					return
				}
				body := reviews[int(i)%len(reviews)]
				// A body and the next one go to different endpoints, each body to both in turn.
				url := urls[(int(i)/len(reviews)+int(i))%2]
				allowed, err := post(h, url, body)
				sent.Add(int64(len(body)))
				all[c] = append(all[c], sample{float64(time.Since(due).Microseconds()) / 1000, allowed, err})
			}
		}()
	}
	group.Wait()
	return sum(all, time.Since(began).Seconds(), sent.Load())
}

func sum(all [][]sample, seconds float64, bytesSent int64) result {
	r := result{Seconds: seconds, BytesSent: bytesSent}
	var took []float64
	for _, samples := range all {
		for _, s := range samples {
			r.Reviews++
			switch {
			case s.err != nil:
				r.Errors++
				if r.FirstErr == "" {
					r.FirstErr = s.err.Error()
				}
			case s.allowed:
				r.Allowed++
			default:
				r.Refused++
			}
			took = append(took, s.ms)
		}
	}
	sort.Float64s(took)
	at := func(q float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return took[min(len(took)-1, int(q*float64(len(took))))]
	}
	r.P50, r.P90, r.P99, r.Max = at(0.5), at(0.9), at(0.99), at(1)
	return r
}
