// What a workspace is given, whoever made it: a datastore for each source, without credentials.
// Whoever reads through it signs in: a job as its compute's identity.

@description('Name of the workspace.')
param name string

@description('{name, account, container} of each datastore.')
param datastores array

resource workspace 'Microsoft.MachineLearningServices/workspaces@2024-10-01' existing = {
  name: name
}

resource datastore 'Microsoft.MachineLearningServices/workspaces/datastores@2024-10-01' = [for one in datastores: {
  parent: workspace
  name: one.name
  properties: {
    datastoreType: 'AzureBlob'
    accountName: one.account
    containerName: one.container
    endpoint: environment().suffixes.storage
    protocol: 'https'
    serviceDataAccessAuthIdentity: 'None'
    credentials: {
      credentialsType: 'None'
    }
  }
}]

output id string = workspace.id
output storageId string = workspace.properties.storageAccount
