// Roles in a workspace, and on its storage. The table is roles.json.

@description('{id, type} of everybody, by who they are in the table.')
param principals object

@description('Name of the workspace.')
param workspace string

@description('Resource ID of its storage account, wherever that is.')
param storageId string

var table = loadJsonContent('../roles.json')
var grants = flatten(map(table.grants, row => map(principals[row.who], one => {
  on: row.on
  role: table.roles[row.role]
  id: one.id
  type: one.type
})))

resource ml 'Microsoft.MachineLearningServices/workspaces@2024-10-01' existing = {
  name: workspace
}

resource onWorkspace 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for grant in filter(grants, one => one.on == 'workspace'): {
  scope: ml
  name: guid(ml.id, grant.id, grant.role)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    principalId: grant.id
    principalType: grant.type
  }
}]

// The whole account: the service chooses the names of its containers.
module storage 'roles-storage.bicep' = {
  name: 'roles-workspace-storage'
  scope: resourceGroup(split(storageId, '/')[2], split(storageId, '/')[4])
  params: {
    principals: principals
    account: last(split(storageId, '/'))
    place: 'workspaceStorage'
  }
}
