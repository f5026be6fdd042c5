// A proxy as people write it with Go's httputil.ReverseProxy, which Caddy, Traefik and many others are built on.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	address, upstream, certificate, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	target, err := url.Parse("http://" + upstream)
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(target)
		request.SetXForwarded()
		request.Out.Host = request.In.Host
	}}
	log.Fatal(http.ListenAndServeTLS(address, certificate, key, proxy))
}
