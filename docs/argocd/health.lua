-- Health of vm.novasphere.dev/Wukong for Argo CD, in the order in which kstatus looks: the same object
-- is InProgress, Failed or Current for Flux and kubectl where it is Progressing, Degraded or Healthy here.
-- A stopped clone is Healthy: Suspended would hold up later sync waves for ever.
local health = { status = "Progressing", message = "Waiting for the first look" }

-- Without a cloneSource the Wukong is the VM creator's: nobody here reports on it.
if obj.spec ~= nil and obj.spec.cloneSource == nil then
  return { status = "Healthy", message = "No clone" }
end

local status = obj.status
if status == nil then
  return health
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return health
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end
local function is_true(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end
local function text(kind, otherwise)
  local condition = found[kind]
  if condition ~= nil and condition.message ~= nil and condition.message ~= "" then
    return condition.message
  end
  return otherwise
end

if is_true("Reconciling") then
  local message = text("Reconciling", "Cloning")
  local clone = status.cloneStatus
  if clone ~= nil and clone.progress ~= nil then
    message = clone.progress .. ": " .. message
  end
  return { status = "Progressing", message = message }
end
if is_true("Stalled") then
  return { status = "Degraded", message = text("Stalled", "The clone failed") }
end
if is_true("Ready") then
  return { status = "Healthy", message = text("Ready", "Cloned") }
end
health.message = text("Ready", "Cloning")
return health
