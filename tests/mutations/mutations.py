"""Deliberate breakages of the server, each of which tests/conformance must notice.

`text` is code that is exactly once in its file, whatever its comments; a mutation whose text is gone fails its test,
and is written anew.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """`text` in `file` becomes `broken`, and a test of `caught_by` that pytest's `-k words` selects must fail."""

    name: str
    file: str
    text: str
    broken: str
    caught_by: str
    words: str

    def __str__(self) -> str:
        return self.name


MUTATIONS = (
    Mutation(
        "wrong status: a blob pushed answers 200",
        "api/http/responses.py",
        "return web.Response(status=201, headers=headers)",
        "return web.Response(status=200, headers=headers)",
        "test_blobs.py",
        "pushed_again_and_again",
    ),
    Mutation(
        "missing header: a push with a subject has no OCI-Subject",
        "api/handlers/manifests.py",
        'headers["OCI-Subject"] = pushed.subject',
        "pass",
        "test_referrers.py",
        "either_order and sha256",
    ),
    Mutation(
        "missing header: a manifest comes without Docker-Content-Digest",
        "api/handlers/manifests.py",
        """headers = {
            "Docker-Content-Digest": stored.digest,
            "ETag": etag(stored.digest),
            "Content-Type": stored.media_type,
        }""",
        'headers = {"ETag": etag(stored.digest), "Content-Type": stored.media_type}',
        "test_manifests.py",
        "whatever_is_accepted and index",
    ),
    Mutation(
        "missing header: a filtered list of referrers does not say so",
        "api/handlers/referrers.py",
        '{} if wanted.artifact_type is None else {"OCI-Filters-Applied": "artifactType"}',
        "{}",
        "test_referrers.py",
        "a_filter_keeps_its_type",
    ),
    Mutation(
        "missing header: a 416 does not say where the upload continues",
        "api/handlers/uploads.py",
        "raise UploadRangeInvalid(error.detail, headers=upload_headers(request, upload, offset)) from error",
        "raise UploadRangeInvalid(error.detail) from error",
        "test_chunks.py",
        "answers_416_and_the_right_one and sha256",
    ),
    Mutation(
        "wrong order: tags come backwards",
        "storage/repositories/repository.py",
        "self._objects.children(layout.tags(self.name), after)",
        "reversed([*self._objects.children(layout.tags(self.name), after)])",
        "test_tags.py",
        "order_of_their_bytes",
    ),
    Mutation(
        "tags: null instead of an empty list",
        "api/handlers/tags.py",
        '{"name": repo.name, "tags": page}',
        '{"name": repo.name, "tags": page or None}',
        "test_base.py",
        "has_an_empty_list",
    ),
    Mutation(
        "off by one: the Range of an upload counts its bytes instead of naming the last",
        "api/http/responses.py",
        'f"0-{max(offset - 1, 0)}"',
        'f"0-{offset}"',
        "test_chunks.py",
        "the_range_counts_every_byte",
    ),
    Mutation(
        "off by one: the Content-Range of a download ends behind its last byte",
        "api/handlers/download.py",
        'f"bytes {part.start}-{part.stop - 1}/{size}"',
        'f"bytes {part.start}-{part.stop}/{size}"',
        "test_ranges.py",
        "answers_206 and sha512",
    ),
    Mutation(
        "off by one: a page of referrers begins with `last` itself",
        "storage/repositories/referrer_pages.py",
        "digest > wanted.after",
        "digest >= wanted.after",
        "test_referrers.py",
        "pages_of_every_n",
    ),
    Mutation(
        "off by one: a manifest of exactly the limit is refused",
        "api/handlers/bodies.py",
        "size > limit",
        "size >= limit",
        "test_manifests.py",
        "above_the_configured_limit and 1000",
    ),
    Mutation(
        "a chunk behind a gap is taken",
        "storage/seams/uploads.py",
        "at is not None and at != offset",
        "at is not None and at < offset",
        "test_chunks.py",
        "nowhere_else and 1025",
    ),
    Mutation(
        "a blob is stored without looking at its digest",
        "storage/local/uploads.py",
        "self._digest(file, digest.algorithm, running) != digest",
        "False",
        "test_blobs.py",
        "another_digest_is_refused and stream",
    ),
    Mutation(
        "n=0 gives everything",
        "api/handlers/paging.py",
        "return [], False",
        "return list(items), False",
        "test_tags.py",
        "n_zero",
    ),
    Mutation(
        "a page that ends the list has a Link all the same",
        "api/handlers/paging.py",
        "return page[:size], len(page) > size",
        "return page[:size], len(page) >= size",
        "test_tags.py",
        "a_link_only_if_there_are_more",
    ),
    Mutation(
        "referrers of an unknown manifest are a 404",
        "api/handlers/referrers.py",
        "    page = repo.referrers(subject, wanted)\n",
        "    page = repo.referrers(subject, wanted)\n    repo.require()\n",
        "test_base.py",
        "end_12a and what_does_not_exist",
    ),
    Mutation(
        "a mount from nowhere answers 201",
        "api/handlers/uploads.py",
        "return size",
        "return size or 0",
        "test_blobs.py",
        "is_not_mounted and nobody",
    ),
    Mutation(
        "a deleted manifest leaves its tags",
        "storage/repositories/repository.py",
        "named == digest",
        "False",
        "test_manifests.py",
        "a_manifest_with_all_its_tags",
    ),
    Mutation(
        "wrong code: a blob that is not there is an unknown manifest",
        "oci/errors.py",
        'code, status = "BLOB_UNKNOWN", 404',
        'code, status = "MANIFEST_UNKNOWN", 404',
        "test_blobs.py",
        "never_pushed",
    ),
    Mutation(
        "a 304 for a client with other content",
        "api/http/responses.py",
        'not any(_names(tag, digest) for tag in ",".join(tags).split(","))',
        "tags is None",
        "test_ranges.py",
        "something_else_answers_200 and GET",
    ),
)
