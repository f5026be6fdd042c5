-- What was not 2xx, and what broke, is counted, so that no error passes as a fast answer.
function done(summary)
    local errors = summary.errors
    print(string.format("errors %d", errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
