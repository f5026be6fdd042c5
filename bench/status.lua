-- Counts responses other than 2xx and broken connections, so that an error does not count as a fast response.
function done(summary)
    local errors = summary.errors
    print(string.format("errors %d", errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
