// Roles on one storage account: a source's, or the workspace's. The table is roles.json.

@description('{id, type} of everybody, by who they are in the table.')
param principals object

@description('Name of the account.')
param account string

@allowed([
  'source'
  'workspaceStorage'
])
@description('What it is in the table.')
param place string

var table = loadJsonContent('../roles.json')
var grants = flatten(map(table.grants, row => map(principals[row.who], one => {
  on: row.on
  role: table.roles[row.role]
  id: one.id
  type: one.type
})))

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: account
}

resource onAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == place): {
  scope: storage
  name: guid(storage.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]
