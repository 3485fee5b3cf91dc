-- Draws in one atomic step: chooses by weight among what is available, takes the units, and appends
-- the outcomes to the log. The number of the log's entry is the id of the request; the draws of a
-- request are told apart by their place. An outcome is the name of an item, four bytes, or `0000`
-- when nothing was available.
--
-- KEYS: the table, what is left of the limited items, the log, the weights. ARGV: the count.
--@parameters
local count = tonumber(ARGV[1])
local random, read = math.random, struct.unpack

-- One draw: the usual case does two or three commands, whatever the size of the catalogue.
if count == 1 then
  local entry
  if COLUMNS <= 16 then
    entry = redis.call('GET', KEYS[1])
    local at = random(0, COLUMNS - 1) * ENTRY_BYTES
    entry = string.sub(entry, at + 1, at + ENTRY_BYTES)
  else
    local at = random(0, COLUMNS - 1) * ENTRY_BYTES
    entry = redis.call('GETRANGE', KEYS[1], at, at + ENTRY_BYTES - 1)
  end
  if #entry < ENTRY_BYTES then return {redis.call('RPUSH', KEYS[3], EMPTY), EMPTY} end
  local threshold, item, is_limited, other, other_is_limited = read(ENTRY, entry)
  if random() >= threshold then item, is_limited = other, other_is_limited end
  if is_limited == 0 then return {redis.call('RPUSH', KEYS[3], item), item} end
  local left = redis.call('HINCRBY', KEYS[2], item, '-1')
  if left >= LOW or (left > 0 and left < LOW - 1) then
    return {redis.call('RPUSH', KEYS[3], item), item}
  end
  --@rebuild
  rebuild(KEYS[1], KEYS[2], KEYS[4])
  return {redis.call('RPUSH', KEYS[3], item), item}
end
if count < 1 or count > LOW then return redis.error_reply('ERR count is out of range') end

-- Many draws while every limited item has enough for all of them: taken together at the end.
local columns = redis.call('GET', KEYS[1])
local outcomes = {}
if string.sub(columns, -1) == 'F' then
  local taken, names = {}, {}
  for place = 1, count do
    local at = random(0, COLUMNS - 1) * ENTRY_BYTES + 1
    local threshold, item, is_limited, other, other_is_limited = read(ENTRY, columns, at)
    if random() >= threshold then item, is_limited = other, other_is_limited end
    outcomes[place] = item
    if is_limited == 1 then
      local before = taken[item]
      if not before then
        names[#names + 1] = item
        before = 0
      end
      taken[item] = before + 1
    end
  end
  local is_low = false
  if #names > 0 then
    local left, fields = redis.call('HMGET', KEYS[2], unpack(names)), {}
    for place, item in ipairs(names) do
      local units = left[place] - taken[item]
      is_low = is_low or units < LOW
      fields[2 * place - 1], fields[2 * place] = item, string.format('%d', units)
    end
    redis.call('HSET', KEYS[2], unpack(fields))
  end
  if not is_low then
    local entry = table.concat(outcomes)
    return {redis.call('RPUSH', KEYS[3], entry), entry}
  end
end

-- Some item is nearly sold out: one unit at a time.
--@rebuild
if #outcomes > 0 then
  rebuild(KEYS[1], KEYS[2], KEYS[4])
end
for place = #outcomes + 1, count do
  local item, is_limited = EMPTY, 0
  if #columns > 0 then
    local at = random(0, COLUMNS - 1) * ENTRY_BYTES + 1
    local threshold, other, other_is_limited
    threshold, item, is_limited, other, other_is_limited = read(ENTRY, columns, at)
    if random() >= threshold then item, is_limited = other, other_is_limited end
  end
  outcomes[place] = item
  if is_limited == 1 then
    local left = redis.call('HINCRBY', KEYS[2], item, '-1')
    if left == 0 then
      rebuild(KEYS[1], KEYS[2], KEYS[4])
      columns = redis.call('GET', KEYS[1])
    end
  end
end
local entry = table.concat(outcomes)
return {redis.call('RPUSH', KEYS[3], entry), entry}
