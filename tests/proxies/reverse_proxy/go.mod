module pyregistry.test/reverse-proxy

go 1.21
