module pyregistry/bench/blobs

go 1.21
