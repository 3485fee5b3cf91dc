-- Makes the table from the weights and from what is left: an alias table (Vose, 1991), which locates
-- an item in constant time. Sold-out items keep their column, with no weight.
--
-- The table is one string: for each column a threshold between 0 and 1, the item below it and
-- whether that is limited, the item above it and whether that is limited; and at the end `F` when
-- every limited item has at least LOW units, else `S`. It is empty when nothing is left.
local function rebuild(table_key, left_key, weights_key)
  local names = {}
  for column = 1, COLUMNS do names[column] = string.format('%04d', column) end
  local weights, left, total, mode = {}, {}, 0, 'F'
  for first = 1, COLUMNS, 1000 do
    local last = math.min(first + 999, COLUMNS)
    local some_weights = redis.call('HMGET', weights_key, unpack(names, first, last))
    local some_left = redis.call('HMGET', left_key, unpack(names, first, last))
    for column = first, last do
      local units = some_left[column - first + 1]
      left[column] = units and tonumber(units)
      weights[column] = left[column] == 0 and 0 or tonumber(some_weights[column - first + 1])
      total = total + weights[column]
      if left[column] and left[column] > 0 and left[column] < LOW then mode = 'S' end
    end
  end
  if total == 0 then
    redis.call('SET', table_key, '')
    return
  end
  -- All integers: exact below 2^53.
  local small, large, scaled, threshold, alias = {}, {}, {}, {}, {}
  for column = 1, COLUMNS do
    scaled[column] = weights[column] * COLUMNS
    local group = scaled[column] < total and small or large
    group[#group + 1] = column
    threshold[column], alias[column] = 1, column
  end
  while #small > 0 and #large > 0 do
    local low, high = table.remove(small), large[#large]
    threshold[low], alias[low] = scaled[low] / total, high
    scaled[high] = scaled[high] - (total - scaled[low])
    if scaled[high] < total then small[#small + 1] = table.remove(large) end
  end
  local entries = {}
  for column = 1, COLUMNS do
    local other = alias[column]
    entries[column] = struct.pack(ENTRY, threshold[column], names[column], left[column] and 1 or 0,
      names[other], left[other] and 1 or 0)
  end
  redis.call('SET', table_key, table.concat(entries) .. mode)
end
