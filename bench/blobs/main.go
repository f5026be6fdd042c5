// Blobs pushes and pulls as Go clients do, checks every status and every length, and prints the results as JSON.
//
//	blobs push http://127.0.0.1:5000 app 4 268435456     4 blobs of 256 MiB at once: POST, PATCH chunked, PUT
//	blobs pull http://127.0.0.1:5000 app 8 sha256:...    the same blob 8 times at once
//	blobs head http://127.0.0.1:5000/v2/app/blobs/sha256:... 16 2   over 16 connections for two seconds
//	blobs get  http://127.0.0.1:5000/v2/_catalog?n=100   one request after the other, for two seconds; the median
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const block = 1 << 20

var client = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: 64, DisableCompression: true, WriteBufferSize: 256 << 10, ReadBufferSize: 64 << 10,
}}

func main() {
	var result any
	switch os.Args[1] {
	case "push":
		result = push(os.Args[2], os.Args[3], number(os.Args[4]), int64(number(os.Args[5])))
	case "pull":
		result = pull(os.Args[2], os.Args[3], number(os.Args[4]), os.Args[5])
	case "head":
		result = head(os.Args[2], number(os.Args[3]), number(os.Args[4]))
	case "get":
		result = get(os.Args[2])
	default:
		fail(fmt.Errorf("push, pull, head or get, not %s", os.Args[1]))
	}
	fail(json.NewEncoder(os.Stdout).Encode(result))
}

// content is a unique blob: a repeated random block, each with its number in front.
type content struct {
	block  []byte
	size   int64
	offset int64
}

func (c *content) Read(into []byte) (int, error) {
	if c.offset == c.size {
		return 0, io.EOF
	}
	begin := c.offset % block
	if begin == 0 {
		binary.LittleEndian.PutUint64(c.block, uint64(c.offset))
	}
	n := copy(into, c.block[begin:min(block, begin+c.size-c.offset)])
	c.offset += int64(n)
	return n, nil
}

// unsized hides the length, so that the body is sent in chunks.
type unsized struct{ io.Reader }

type pushed struct {
	Seconds float64  `json:"seconds"`
	Load    float64  `json:"load"` // processor time of this program in these seconds
	Digests []string `json:"digests"`
}

func push(base, name string, count int, size int64) pushed {
	blobs := make([]*content, count)
	result := pushed{Digests: make([]string, count)}
	together(count, func(i int) { // the hash is the client's work: it is known before the clock starts
		blobs[i] = &content{block: make([]byte, block), size: size}
		_, err := rand.Read(blobs[i].block)
		fail(err)
		hash := sha256.New()
		_, err = io.CopyBuffer(hash, blobs[i], make([]byte, block))
		fail(err)
		blobs[i].offset = 0
		result.Digests[i] = fmt.Sprintf("sha256:%x", hash.Sum(nil))
	})
	begin, spent := time.Now(), processors()
	together(count, func(i int) {
		location := base + "/v2/" + name + "/blobs/uploads/"
		location = send("POST", location, nil, 202)
		location = send("PATCH", location, unsized{blobs[i]}, 202)
		at, err := url.Parse(location)
		fail(err)
		query := at.Query()
		query.Set("digest", result.Digests[i])
		at.RawQuery = query.Encode()
		send("PUT", at.String(), nil, 201)
	})
	result.Seconds = time.Since(begin).Seconds()
	result.Load = processors() - spent
	return result
}

// processors is the processor time of this program in seconds.
func processors() float64 {
	var usage syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func send(method, location string, body io.Reader, status int) string {
	request, err := http.NewRequest(method, location, body)
	fail(err)
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := client.Do(request)
	fail(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	fail(err)
	if response.StatusCode != status {
		fail(fmt.Errorf("%s %s: %s, expected %d: %s", method, location, response.Status, status, text))
	}
	next, err := response.Location()
	fail(err)
	return next.String()
}

type pulled struct {
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
}

func pull(base, name string, count int, digest string) pulled {
	sizes := make([]int64, count)
	begin := time.Now()
	together(count, func(i int) {
		response, err := client.Get(base + "/v2/" + name + "/blobs/" + digest)
		fail(err)
		defer response.Body.Close()
		if response.StatusCode != 200 {
			fail(fmt.Errorf("GET: %s", response.Status))
		}
		buffer := make([]byte, block)
		for err == nil {
			var n int
			n, err = response.Body.Read(buffer)
			sizes[i] += int64(n)
		}
		if err != io.EOF || sizes[i] != response.ContentLength {
			fail(fmt.Errorf("%d of %d bytes: %v", sizes[i], response.ContentLength, err))
		}
	})
	result := pulled{Seconds: time.Since(begin).Seconds()}
	for _, size := range sizes {
		result.Bytes += size
	}
	return result
}

type rate struct {
	PerSecond float64 `json:"per_second"`
}

// head is what wrk cannot do: it waits for the body that Content-Length speaks of. Like wrk it is as cheap as it can
// be, so that it is the server that is measured: it reads up to the empty line and looks at the status.
func head(location string, connections, seconds int) rate {
	at, err := url.Parse(location)
	fail(err)
	request := []byte("HEAD " + at.RequestURI() + " HTTP/1.1\r\nHost: " + at.Host + "\r\n\r\n")
	counts := make([]int, connections)
	begin := time.Now()
	together(connections, func(i int) {
		connection, err := net.Dial("tcp", at.Host)
		fail(err)
		defer connection.Close()
		buffer := make([]byte, 8192)
		for time.Since(begin) < time.Duration(seconds)*time.Second {
			_, err = connection.Write(request)
			fail(err)
			size := 0
			for !bytes.HasSuffix(buffer[:size], []byte("\r\n\r\n")) {
				n, err := connection.Read(buffer[size:])
				fail(err)
				size += n
			}
			if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200 ")) {
				fail(fmt.Errorf("HEAD %s: %s", location, buffer[:size]))
			}
			counts[i]++
		}
	})
	total := 0
	for _, count := range counts {
		total += count
	}
	return rate{float64(total) / time.Since(begin).Seconds()}
}

type got struct {
	Median float64 `json:"median"`
	Count  int     `json:"count"`
	Body   string  `json:"body"`
}

func get(location string) got {
	var times []float64
	var body []byte
	for begin := time.Now(); len(times) < 3 || time.Since(begin) < 2*time.Second; {
		before := time.Now()
		response, err := client.Get(location)
		fail(err)
		body, err = io.ReadAll(response.Body)
		fail(err)
		response.Body.Close()
		if response.StatusCode != 200 {
			fail(fmt.Errorf("GET %s: %s: %s", location, response.Status, body))
		}
		times = append(times, time.Since(before).Seconds())
	}
	sort.Float64s(times)
	return got{times[len(times)/2], len(times), string(body)}
}

func together(count int, work func(int)) {
	var group sync.WaitGroup
	for i := range make([]struct{}, count) {
		group.Add(1)
		go func(i int) { defer group.Done(); work(i) }(i)
	}
	group.Wait()
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	fail(err)
	return value
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "blobs:", err)
		os.Exit(1)
	}
}
