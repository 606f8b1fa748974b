/** All templates of the page: they are loaded together, with the first page that is shown. */
export {codebasePage, codebaseRegions, codebasesPage} from './codebases.tsx'
export {enteredPage, loginPage, problemPage} from './login.tsx'
export {outputHtml} from './output.tsx'
export {overviewPage, overviewRegions} from './overview.tsx'
export {sessionPage} from './session.tsx'
export {newTaskPage, taskListPage, taskListRegions} from './task-list.tsx'
export {taskPage, taskRegions} from './task.tsx'
