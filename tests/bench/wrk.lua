-- Lets wrk send ready-made requests, each of them once, and count what came of
-- them. `tests/bench/src/wrk.rs` runs it:
--
--   wrk --threads 1 --script wrk.lua URL -- FILE CONNECTIONS
--
-- FILE holds one request after another, its length in a line before each. There is
-- one thread: wrk starts its first one while it makes the second ready, so that
-- two would not begin together, nor end together with half of the requests each.

local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
  int getpid(void);
  int kill(int process, int signal);
]])
local MONOTONIC = 1
local INTERRUPT = 2

local ACCEPTED = 202

local moment = ffi.new("moment")
local function seconds()
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

local requests = {}
local connections
-- wrk asks for one request before it begins, looks at its form and does not send it.
local at = -1
local idle = 0

-- Globals, since that is what thread:get finds.
accepted = 0
others = 0
begun = nil
ended = nil

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for length in file:lines() do
    requests[#requests + 1] = file:read(tonumber(length))
  end
  file:close()
  connections = tonumber(arguments[2])
end

-- A connection asks for its next request when its last one is answered. When there
-- are no more it gets an empty one, of which wrk sends nothing; once each has got
-- that, every request is answered, and none is left in flight.
function request()
  at = at + 1
  if at == 0 then
    return requests[1]
  end
  if at == 1 then
    begun = seconds()
  end
  local next_one = requests[at]
  if next_one then
    return next_one
  end
  idle = idle + 1
  if idle == connections then
    ended = seconds()
    wrk.thread:stop()
    -- wrk itself sleeps until its time is over, or it is interrupted.
    ffi.C.kill(ffi.C.getpid(), INTERRUPT)
  end
  return ""
end

function response(status)
  if status == ACCEPTED then
    accepted = accepted + 1
  else
    others = others + 1
  end
end

function done(summary, latency)
  local thread = threads[1]
  local errors = summary.errors
  local drained = thread:get("ended")
  print(string.format(
    '{"requests":%d,"accepted":%d,"others":%d,"broken":%d,"drained":%s,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f}',
    summary.requests,
    thread:get("accepted"),
    thread:get("others"),
    errors.connect + errors.read + errors.write + errors.timeout,
    tostring(drained ~= nil),
    (drained or seconds()) - (thread:get("begun") or 0),
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3
  ))
end
